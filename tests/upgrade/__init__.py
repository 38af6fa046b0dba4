"""Replace one version by the next under load, and back again; nobody's request may fail."""
