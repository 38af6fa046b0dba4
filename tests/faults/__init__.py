"""What goes wrong around a request: clients that vanish, cancellations, a killed database."""
