"""Cases of the broker, one file a subject; client.py is what they share."""
