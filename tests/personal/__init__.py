"""What is personal: at rest, while its keys change, and once somebody is erased."""
