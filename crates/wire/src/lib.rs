//! MQTT 3.1.1 and 5 packets and AWS's limits; nothing about sockets.
