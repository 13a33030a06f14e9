//! The certificate authority, the verification CSR, the registration template and the MQTT client.
