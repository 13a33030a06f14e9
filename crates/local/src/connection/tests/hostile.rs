//! Packets that the specifications of MQTT 3.1.1 and 5 forbid, one rule after the other: each ends its connection with the
//! right reason, is in the diary, and disturbs nobody else.

use super::*;
use crate::diary::Entry;
use Version::{V3, V5};

/// A packet that is not allowed: the rule, for which versions, its first byte, its body, and the reason code of the
/// DISCONNECT that MQTT 5 gets.
type Forbidden = (&'static str, &'static [Version], u8, &'static [u8], u8);

const MALFORMED: u8 = 0x81;
const PROTOCOL: u8 = 0x82;
const V3_AND_V5: &[Version] = &[V3, V5];
const ONLY_V3: &[Version] = &[V3];
const ONLY_V5: &[Version] = &[V5];

/// Packets after CONNECT. Where bodies differ between the versions, MQTT 5 has its property length.
#[rustfmt::skip]
const FORBIDDEN: &[Forbidden] = &[
    // Packet types and their flags [MQTT-2.2.2-2, 2.1.3-1].
    ("packet type 0", V3_AND_V5, 0x00, b"", MALFORMED),
    ("packet type 15", ONLY_V3, 0xF0, b"", PROTOCOL),
    ("AUTH without an authentication method", ONLY_V5, 0xF0, b"", PROTOCOL),
    ("CONNACK from a client", V3_AND_V5, 0x20, b"\x00\x00", PROTOCOL),
    ("SUBACK from a client", V3_AND_V5, 0x90, b"\x00\x01\x00", PROTOCOL),
    ("UNSUBACK from a client", V3_AND_V5, 0xB0, b"\x00\x01", PROTOCOL),
    ("PINGRESP from a client", V3_AND_V5, 0xD0, b"", PROTOCOL),
    ("PUBREC for nothing of QoS 2", V3_AND_V5, 0x50, b"\x00\x01", PROTOCOL),
    ("PUBREL for nothing of QoS 2", V3_AND_V5, 0x62, b"\x00\x01", PROTOCOL),
    ("PUBCOMP for nothing of QoS 2", V3_AND_V5, 0x70, b"\x00\x01", PROTOCOL),
    ("flags of PUBACK", V3_AND_V5, 0x41, b"\x00\x01", MALFORMED),
    ("flags of PINGREQ", V3_AND_V5, 0xC1, b"", MALFORMED),
    ("flags of DISCONNECT", V3_AND_V5, 0xE1, b"", MALFORMED),
    ("flags of SUBSCRIBE: none", ONLY_V3, 0x80, b"\x00\x01\x00\x01a\x00", MALFORMED),
    ("flags of SUBSCRIBE: none", ONLY_V5, 0x80, b"\x00\x01\x00\x00\x01a\x00", MALFORMED),
    ("flags of SUBSCRIBE: one more", ONLY_V3, 0x83, b"\x00\x01\x00\x01a\x00", MALFORMED),
    ("flags of SUBSCRIBE: one more", ONLY_V5, 0x83, b"\x00\x01\x00\x00\x01a\x00", MALFORMED),
    ("flags of UNSUBSCRIBE", ONLY_V3, 0xA0, b"\x00\x01\x00\x01a", MALFORMED),
    ("flags of UNSUBSCRIBE", ONLY_V5, 0xA0, b"\x00\x01\x00\x00\x01a", MALFORMED),
    // PUBLISH [MQTT-3.3.1-2, 3.3.1-4, 2.3.1-1, 3.3.2-1, 3.3.2-2, 1.5.3-1, 1.5.3-2].
    ("DUP at QoS 0", ONLY_V3, 0x38, b"\x00\x01a", MALFORMED),
    ("DUP at QoS 0", ONLY_V5, 0x38, b"\x00\x01a\x00", MALFORMED),
    ("QoS 3", ONLY_V3, 0x36, b"\x00\x01a\x00\x01", MALFORMED),
    ("QoS 3", ONLY_V5, 0x36, b"\x00\x01a\x00\x01\x00", MALFORMED),
    ("packet id 0", ONLY_V3, 0x32, b"\x00\x01a\x00\x00", MALFORMED),
    ("packet id 0", ONLY_V5, 0x32, b"\x00\x01a\x00\x00\x00", MALFORMED),
    ("no packet id", ONLY_V3, 0x32, b"\x00\x01a\x00", MALFORMED),
    ("no packet id", ONLY_V5, 0x32, b"\x00\x01a", MALFORMED),
    ("empty topic", ONLY_V3, 0x30, b"\x00\x00", 0),
    ("empty topic and no alias", ONLY_V5, 0x30, b"\x00\x00\x00", PROTOCOL),
    ("topic with +", ONLY_V3, 0x30, b"\x00\x03a/+", 0),
    ("topic with +", ONLY_V5, 0x30, b"\x00\x03a/+\x00", 0x90),
    ("topic with #", ONLY_V3, 0x30, b"\x00\x03a/#", 0),
    ("topic with #", ONLY_V5, 0x30, b"\x00\x03a/#\x00", 0x90),
    ("topic with a null character", ONLY_V3, 0x30, b"\x00\x03a\x00b", MALFORMED),
    ("topic with a null character", ONLY_V5, 0x30, b"\x00\x03a\x00b\x00", MALFORMED),
    ("topic that is no UTF-8", ONLY_V3, 0x30, b"\x00\x02a\xff", MALFORMED),
    ("topic that is no UTF-8", ONLY_V5, 0x30, b"\x00\x02a\xff\x00", MALFORMED),
    ("topic with half a surrogate pair", ONLY_V3, 0x30, b"\x00\x03\xed\xa0\x80", MALFORMED),
    ("topic with half a surrogate pair", ONLY_V5, 0x30, b"\x00\x03\xed\xa0\x80\x00", MALFORMED),
    ("topic with an overlong character", ONLY_V3, 0x30, b"\x00\x02\xc0\x80", MALFORMED),
    ("topic that ends too early", V3_AND_V5, 0x30, b"\x00\x09a", MALFORMED),
    ("half a length", V3_AND_V5, 0x30, b"\x00", MALFORMED),
    ("nothing at all", V3_AND_V5, 0x30, b"", MALFORMED),
    ("no properties", ONLY_V5, 0x30, b"\x00\x01a", MALFORMED),
    ("properties' length in two bytes", ONLY_V5, 0x30, b"\x00\x01a\x80\x00", MALFORMED),
    ("properties that end too early", ONLY_V5, 0x30, b"\x00\x01a\x05\x01\x01", MALFORMED),
    ("a length of five bytes", ONLY_V5, 0x30, b"\x00\x01a\xff\xff\xff\xff\x01", MALFORMED),
    ("payload format 2", ONLY_V5, 0x30, b"\x00\x01a\x02\x01\x02", PROTOCOL),
    ("payload format twice", ONLY_V5, 0x30, b"\x00\x01a\x04\x01\x01\x01\x01", PROTOCOL),
    ("message expiry twice", ONLY_V5, 0x30, b"\x00\x01a\x0a\x02\x00\x00\x00\x01\x02\x00\x00\x00\x01", PROTOCOL),
    ("topic alias twice", ONLY_V5, 0x30, b"\x00\x01a\x06\x23\x00\x01\x23\x00\x02", PROTOCOL),
    ("topic alias 0", ONLY_V5, 0x30, b"\x00\x01a\x03\x23\x00\x00", 0x94),
    ("topic alias 9", ONLY_V5, 0x30, b"\x00\x01a\x03\x23\x00\x09", 0x94),
    ("topic alias never assigned", ONLY_V5, 0x30, b"\x00\x00\x03\x23\x00\x01", 0x94),
    ("content type twice", ONLY_V5, 0x30, b"\x00\x01a\x08\x03\x00\x01t\x03\x00\x01t", PROTOCOL),
    ("content type with a null character", ONLY_V5, 0x30, b"\x00\x01a\x04\x03\x00\x01\x00", MALFORMED),
    ("response topic twice", ONLY_V5, 0x30, b"\x00\x01a\x08\x08\x00\x01t\x08\x00\x01t", PROTOCOL),
    ("response topic with #", ONLY_V5, 0x30, b"\x00\x01a\x04\x08\x00\x01#", PROTOCOL),
    ("correlation data twice", ONLY_V5, 0x30, b"\x00\x01a\x08\x09\x00\x01t\x09\x00\x01t", PROTOCOL),
    ("subscription identifier from a client", ONLY_V5, 0x30, b"\x00\x01a\x02\x0b\x01", 0xA1),
    ("user property without a value", ONLY_V5, 0x30, b"\x00\x01a\x04\x26\x00\x01n", MALFORMED),
    ("user property that is no UTF-8", ONLY_V5, 0x30, b"\x00\x01a\x07\x26\x00\x01n\x00\x01\xff", MALFORMED),
    ("a property of CONNECT", ONLY_V5, 0x30, b"\x00\x01a\x05\x11\x00\x00\x00\x01", MALFORMED),
    ("a property that does not exist", ONLY_V5, 0x30, b"\x00\x01a\x02\x7e\x01", MALFORMED),
    // PUBACK.
    ("PUBACK of packet id 0", V3_AND_V5, 0x40, b"\x00\x00", MALFORMED),
    ("PUBACK without a packet id", V3_AND_V5, 0x40, b"\x00", MALFORMED),
    ("PUBACK with more than a packet id", ONLY_V3, 0x40, b"\x00\x01\x00", MALFORMED),
    ("PUBACK with a property of others", ONLY_V5, 0x40, b"\x00\x01\x00\x05\x11\x00\x00\x00\x01", MALFORMED),
    ("PUBACK with a reason of others", ONLY_V5, 0x40, b"\x00\x01\x92", MALFORMED),
    ("PUBACK with properties' length in two bytes", ONLY_V5, 0x40, b"\x00\x01\x00\x80\x00", MALFORMED),
    ("PUBACK whose properties end too early", ONLY_V5, 0x40, b"\x00\x01\x00\x05\x1f", MALFORMED),
    ("PUBACK with bytes behind its properties", ONLY_V5, 0x40, b"\x00\x01\x00\x00\x00", MALFORMED),
    // SUBSCRIBE [MQTT-3.8.3-1 to 3.8.3-5, 4.7.1-1 to 4.7.1-3, 4.7.3-1, 4.8.2-1, 4.8.2-2].
    ("SUBSCRIBE without filters", ONLY_V3, 0x82, b"\x00\x01", PROTOCOL),
    ("SUBSCRIBE without filters", ONLY_V5, 0x82, b"\x00\x01\x00", PROTOCOL),
    ("SUBSCRIBE of packet id 0", ONLY_V3, 0x82, b"\x00\x00\x00\x01a\x00", MALFORMED),
    ("SUBSCRIBE of packet id 0", ONLY_V5, 0x82, b"\x00\x00\x00\x00\x01a\x00", MALFORMED),
    ("SUBSCRIBE with nothing", V3_AND_V5, 0x82, b"", MALFORMED),
    ("SUBSCRIBE with half a packet id", V3_AND_V5, 0x82, b"\x00", MALFORMED),
    ("filter without options", ONLY_V3, 0x82, b"\x00\x01\x00\x01a", MALFORMED),
    ("filter without options", ONLY_V5, 0x82, b"\x00\x01\x00\x00\x01a", MALFORMED),
    ("second filter without options", ONLY_V3, 0x82, b"\x00\x01\x00\x01a\x00\x00\x01b", MALFORMED),
    ("second filter without options", ONLY_V5, 0x82, b"\x00\x01\x00\x00\x01a\x00\x00\x01b", MALFORMED),
    ("filter that ends too early", ONLY_V3, 0x82, b"\x00\x01\x00\x09a\x00", MALFORMED),
    ("filter that ends too early", ONLY_V5, 0x82, b"\x00\x01\x00\x00\x09a\x00", MALFORMED),
    ("filter with a null character", ONLY_V3, 0x82, b"\x00\x01\x00\x03a\x00b\x00", MALFORMED),
    ("filter with a null character", ONLY_V5, 0x82, b"\x00\x01\x00\x00\x03a\x00b\x00", MALFORMED),
    ("filter that is no UTF-8", ONLY_V3, 0x82, b"\x00\x01\x00\x01\xff\x00", MALFORMED),
    ("filter that is no UTF-8", ONLY_V5, 0x82, b"\x00\x01\x00\x00\x01\xff\x00", MALFORMED),
    ("requested QoS 3", ONLY_V3, 0x82, b"\x00\x01\x00\x01a\x03", MALFORMED),
    ("requested QoS 3", ONLY_V5, 0x82, b"\x00\x01\x00\x00\x01a\x03", MALFORMED),
    ("reserved bits of a requested QoS", ONLY_V3, 0x82, b"\x00\x01\x00\x01a\x04", MALFORMED),
    ("reserved bits of options", ONLY_V5, 0x82, b"\x00\x01\x00\x00\x01a\x40", MALFORMED),
    ("retain handling 3", ONLY_V5, 0x82, b"\x00\x01\x00\x00\x01a\x30", PROTOCOL),
    ("no local on a shared subscription", ONLY_V5, 0x82, b"\x00\x01\x00\x00\x0a$share/g/a\x04", PROTOCOL),
    ("subscription identifier 0", ONLY_V5, 0x82, b"\x00\x01\x02\x0b\x00\x00\x01a\x00", PROTOCOL),
    ("subscription identifier", ONLY_V5, 0x82, b"\x00\x01\x02\x0b\x01\x00\x01a\x00", 0xA1),
    ("a property of PUBLISH in SUBSCRIBE", ONLY_V5, 0x82, b"\x00\x01\x02\x01\x01\x00\x01a\x00", MALFORMED),
    ("properties of SUBSCRIBE that end too early", ONLY_V5, 0x82, b"\x00\x01\x09\x26\x00\x01a", MALFORMED),
    // UNSUBSCRIBE.
    ("UNSUBSCRIBE without filters", ONLY_V3, 0xA2, b"\x00\x01", PROTOCOL),
    ("UNSUBSCRIBE without filters", ONLY_V5, 0xA2, b"\x00\x01\x00", PROTOCOL),
    ("UNSUBSCRIBE of packet id 0", ONLY_V3, 0xA2, b"\x00\x00\x00\x01a", MALFORMED),
    ("UNSUBSCRIBE of packet id 0", ONLY_V5, 0xA2, b"\x00\x00\x00\x00\x01a", MALFORMED),
    ("UNSUBSCRIBE that ends too early", ONLY_V3, 0xA2, b"\x00\x01\x00\x05a", MALFORMED),
    ("UNSUBSCRIBE that ends too early", ONLY_V5, 0xA2, b"\x00\x01\x00\x00\x05a", MALFORMED),
    ("a property of others in UNSUBSCRIBE", ONLY_V5, 0xA2, b"\x00\x01\x02\x0b\x01\x00\x01a", MALFORMED),
    // PINGREQ and DISCONNECT.
    ("PINGREQ with a body", V3_AND_V5, 0xC0, b"x", MALFORMED),
    ("DISCONNECT with a body", ONLY_V3, 0xE0, b"\x00", MALFORMED),
    ("DISCONNECT with an unknown reason", ONLY_V5, 0xE0, b"\x7f\x00", MALFORMED),
    ("DISCONNECT with a property of others", ONLY_V5, 0xE0, b"\x00\x02\x01\x01", MALFORMED),
    ("DISCONNECT whose properties end too early", ONLY_V5, 0xE0, b"\x00\x05\x11\x00", MALFORMED),
    ("DISCONNECT with session expiry twice", ONLY_V5, 0xE0, b"\x00\x0a\x11\x00\x00\x00\x00\x11\x00\x00\x00\x00", PROTOCOL),
    ("DISCONNECT that makes a session persistent", ONLY_V5, 0xE0, b"\x00\x05\x11\x00\x00\x00\x09", PROTOCOL),
];

/// Filters that are no filters; MQTT 5 is told so in SUBACK, 3.1.1 is closed.
const BAD_FILTERS: [&str; 9] = [
    "a#",
    "#/a",
    "a/#/b",
    "a+",
    "+a/b",
    "$share//a",
    "$share/g",
    "$share/g+/a",
    "$share/g#/a",
];

/// CONNECTs that are closed without CONNACK: the rule, and the packet's body from the protocol name on.
#[rustfmt::skip]
const CONNECTS: &[(&str, u8, &[u8])] = &[
    ("flags of CONNECT", 0x11, b"\x00\x04MQTT\x04\x02\x00\x3c\x00\x01c"),
    ("another protocol name", 0x10, b"\x00\x04MQTX\x04\x02\x00\x3c\x00\x01c"),
    ("a name in small letters", 0x10, b"\x00\x04mqtt\x04\x02\x00\x3c\x00\x01c"),
    ("MQTT 3.1", 0x10, b"\x00\x06MQIsdp\x03\x02\x00\x3c\x00\x01c"),
    ("protocol level 0", 0x10, b"\x00\x04MQTT\x00\x02\x00\x3c\x00\x01c"),
    ("protocol level 6", 0x10, b"\x00\x04MQTT\x06\x02\x00\x3c\x00\x01c"),
    ("the bridges' protocol level", 0x10, b"\x00\x04MQTT\x84\x02\x00\x3c\x00\x01c"),
    ("reserved connect flag", 0x10, b"\x00\x04MQTT\x04\x03\x00\x3c\x00\x01c"),
    ("reserved connect flag, MQTT 5", 0x10, b"\x00\x04MQTT\x05\x03\x00\x3c\x00\x00\x01c"),
    ("will QoS without a will", 0x10, b"\x00\x04MQTT\x04\x0a\x00\x3c\x00\x01c"),
    ("will QoS without a will, MQTT 5", 0x10, b"\x00\x04MQTT\x05\x0a\x00\x3c\x00\x00\x01c"),
    ("will retain without a will", 0x10, b"\x00\x04MQTT\x04\x22\x00\x3c\x00\x01c"),
    ("will retain without a will, MQTT 5", 0x10, b"\x00\x04MQTT\x05\x22\x00\x3c\x00\x00\x01c"),
    ("will QoS 3", 0x10, b"\x00\x04MQTT\x04\x1e\x00\x3c\x00\x01c\x00\x01w\x00\x01w"),
    ("will QoS 3, MQTT 5", 0x10, b"\x00\x04MQTT\x05\x1e\x00\x3c\x00\x00\x01c\x00\x00\x01w\x00\x01w"),
    ("a will without topic", 0x10, b"\x00\x04MQTT\x04\x06\x00\x3c\x00\x01c"),
    ("a will without payload", 0x10, b"\x00\x04MQTT\x04\x06\x00\x3c\x00\x01c\x00\x01w"),
    ("a will topic with a null character", 0x10, b"\x00\x04MQTT\x04\x06\x00\x3c\x00\x01c\x00\x01\x00\x00\x01w"),
    ("a password without a user name", 0x10, b"\x00\x04MQTT\x04\x42\x00\x3c\x00\x01c\x00\x01p"),
    ("a user name that is missing", 0x10, b"\x00\x04MQTT\x04\x82\x00\x3c\x00\x01c"),
    ("a password that is missing", 0x10, b"\x00\x04MQTT\x04\xc2\x00\x3c\x00\x01c\x00\x01u"),
    ("a user name that is no UTF-8", 0x10, b"\x00\x04MQTT\x04\x82\x00\x3c\x00\x01c\x00\x01\xff"),
    ("a user name with a null character", 0x10, b"\x00\x04MQTT\x04\x82\x00\x3c\x00\x01c\x00\x01\x00"),
    ("no client id", 0x10, b"\x00\x04MQTT\x04\x02\x00\x3c"),
    ("no keep alive", 0x10, b"\x00\x04MQTT\x04\x02\x00"),
    ("no flags", 0x10, b"\x00\x04MQTT\x04"),
    ("a client id that ends too early", 0x10, b"\x00\x04MQTT\x04\x02\x00\x3c\x00\x09c"),
    ("a client id with a null character", 0x10, b"\x00\x04MQTT\x04\x02\x00\x3c\x00\x02c\x00"),
    ("a client id that is no UTF-8", 0x10, b"\x00\x04MQTT\x04\x02\x00\x3c\x00\x01\xff"),
    ("bytes behind the last field", 0x10, b"\x00\x04MQTT\x04\x02\x00\x3c\x00\x01cx"),
    ("bytes behind the last field, MQTT 5", 0x10, b"\x00\x04MQTT\x05\x02\x00\x3c\x00\x00\x01cx"),
    ("no properties", 0x10, b"\x00\x04MQTT\x05\x02\x00\x3c"),
    ("properties' length in two bytes", 0x10, b"\x00\x04MQTT\x05\x02\x00\x3c\x80\x00\x00\x01c"),
    ("properties that end too early", 0x10, b"\x00\x04MQTT\x05\x02\x00\x3c\x05\x11\x00"),
    ("session expiry twice", 0x10, b"\x00\x04MQTT\x05\x02\x00\x3c\x0a\x11\x00\x00\x00\x01\x11\x00\x00\x00\x01\x00\x01c"),
    ("receive maximum 0", 0x10, b"\x00\x04MQTT\x05\x02\x00\x3c\x03\x21\x00\x00\x00\x01c"),
    ("receive maximum twice", 0x10, b"\x00\x04MQTT\x05\x02\x00\x3c\x06\x21\x00\x01\x21\x00\x01\x00\x01c"),
    ("maximum packet size 0", 0x10, b"\x00\x04MQTT\x05\x02\x00\x3c\x05\x27\x00\x00\x00\x00\x00\x01c"),
    ("request response information 2", 0x10, b"\x00\x04MQTT\x05\x02\x00\x3c\x02\x19\x02\x00\x01c"),
    ("request problem information 2", 0x10, b"\x00\x04MQTT\x05\x02\x00\x3c\x02\x17\x02\x00\x01c"),
    ("authentication data without a method", 0x10, b"\x00\x04MQTT\x05\x02\x00\x3c\x04\x16\x00\x01x\x00\x01c"),
    ("a property of PUBLISH", 0x10, b"\x00\x04MQTT\x05\x02\x00\x3c\x02\x01\x01\x00\x01c"),
    ("a property that does not exist", 0x10, b"\x00\x04MQTT\x05\x02\x00\x3c\x02\x7e\x01\x00\x01c"),
    ("a property of CONNECT in the will's", 0x10, b"\x00\x04MQTT\x05\x06\x00\x3c\x00\x00\x01c\x05\x11\x00\x00\x00\x01\x00\x01w\x00\x01w"),
    ("the will's payload format 2", 0x10, b"\x00\x04MQTT\x05\x06\x00\x3c\x00\x00\x01c\x02\x01\x02\x00\x01w\x00\x01w"),
    ("the will's delay twice", 0x10, b"\x00\x04MQTT\x05\x06\x00\x3c\x00\x00\x01c\x0a\x18\x00\x00\x00\x01\x18\x00\x00\x00\x01\x00\x01w\x00\x01w"),
    ("no will properties", 0x10, b"\x00\x04MQTT\x05\x06\x00\x3c\x00\x00\x01c"),
];

fn packet(first: u8, body: &[u8]) -> Vec<u8> {
    let mut packet = vec![first];
    let mut length = body.len();
    loop {
        let low = (length & 0x7F) as u8;
        length >>= 7;
        packet.push(low | if length > 0 { 0x80 } else { 0 });
        if length == 0 {
            break;
        }
    }
    packet.extend_from_slice(body);
    packet
}

impl Device {
    /// What comes until the broker closes or answers a PINGREQ; whether it closed.
    async fn fate(&mut self) -> (Vec<FromServer>, bool) {
        self.send(&[0xC0, 0]).await;
        let mut heard = Vec::new();
        loop {
            match self.next().await {
                None => return (heard, true),
                Some(FromServer::Ping) => return (heard, false),
                Some(other) => heard.push(other),
            }
        }
    }
}

impl Lab {
    /// How often something of this client was refused.
    fn refusals(&self, client_id: &str) -> usize {
        let recent = self.core.diary.recent().into_iter();
        let about = |entry: &Entry| entry.refused && entry.client_id.as_deref() == Some(client_id);
        recent.filter(about).count()
    }
}

#[tokio::test]
async fn what_the_specifications_forbid_ends_the_connection_with_its_reason() {
    let lab = Lab::start();
    let mut bystander = lab.device(V5, "bystander").await;
    let mut wrong = Vec::new();
    for (number, (rule, versions, first, body, code)) in FORBIDDEN.iter().enumerate() {
        for version in *versions {
            let name = format!("hostile-{number}-{version:?}");
            let mut device = lab.device(*version, &name).await;
            device.send(&packet(*first, body)).await;
            let (heard, closed) = device.fate().await;
            let expected = match version {
                V5 => vec![FromServer::Disconnect(*code)],
                _ => Vec::new(),
            };
            let told = lab.refusals(&name);
            if !closed || heard != expected || told != 1 {
                wrong.push(format!(
                    "{version:?} {rule}: closed {closed}, {heard:?}, in the diary {told}"
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!(bystander.tell("bystander", b"x").await, 0);
}

#[tokio::test]
async fn filters_that_are_none_are_refused() {
    let lab = Lab::start();
    for filter in BAD_FILTERS {
        let mut device = lab.device(V5, "five").await;
        assert_eq!(
            device.subscribe(filter, QoS::AtMostOnce).await,
            0x8F,
            "{filter}"
        );
        device.hears_nothing().await;
        let mut device = lab.device(V3, "three").await;
        let mut out = Vec::new();
        encode_subscribe(&mut out, V3, id(9), &[(filter, QoS::AtMostOnce)]);
        device.send(&out).await;
        assert_eq!(device.fate().await, (Vec::new(), true), "{filter}");
    }
}

#[tokio::test]
async fn connects_that_the_specifications_forbid_are_closed_without_a_word() {
    let lab = Lab::start();
    let mut bystander = lab.device(V5, "bystander").await;
    let mut wrong = Vec::new();
    for (number, (rule, first, body)) in CONNECTS.iter().enumerate() {
        let mut device = lab.dial(if body.get(6) == Some(&5) { V5 } else { V3 });
        device.send(&packet(*first, body)).await;
        let (heard, closed) = device.fate().await;
        let recent = lab.core.diary.recent().into_iter();
        let told = recent
            .filter(|entry| entry.code == "CONNECT_REFUSED")
            .count();
        if !closed || !heard.is_empty() || told != number + 1 - wrong.len() {
            wrong.push(format!(
                "{rule}: closed {closed}, {heard:?}, {told} in the diary"
            ));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!(bystander.tell("bystander", b"x").await, 0);
}

#[tokio::test]
async fn a_packet_that_announces_more_than_aws_takes_is_not_waited_for() {
    let lab = Lab::start();
    for version in BOTH {
        for first in [0x30, 0x32, 0x82, 0xA2, 0xC0, 0xE0] {
            let mut device = lab.device(version, "a").await;
            // 256 MiB less one byte: the most that MQTT can say. Nothing of it is sent.
            device.send(&[first, 0xFF, 0xFF, 0xFF, 0x7F]).await;
            device.is_closed_with(0x97).await;
            // A length that never ends.
            let mut device = lab.device(version, "a").await;
            device.send(&[first, 0xFF, 0xFF, 0xFF, 0xFF]).await;
            device.is_closed_with(MALFORMED).await;
        }
        let mut device = lab.dial(version);
        device.send(&[0x10, 0xFF, 0xFF, 0xFF, 0x7F]).await;
        assert_eq!(device.next().await, None);
    }
}

#[tokio::test]
async fn a_length_in_more_bytes_than_it_takes_is_malformed_in_mqtt_5_alone() {
    let lab = Lab::start();
    let (mut old, mut new) = (lab.device(V3, "old").await, lab.device(V5, "new").await);
    for device in [&mut old, &mut new] {
        device.send(&[0xC0, 0x80, 0x00]).await;
    }
    assert_eq!(old.next().await, Some(FromServer::Ping));
    new.is_closed_with(MALFORMED).await;
    let mut device = lab.dial(V5);
    device
        .send(b"\x10\x8e\x00\x00\x04MQTT\x05\x02\x00\x3c\x00\x00\x01c")
        .await;
    assert_eq!(device.next().await, None);
}

#[tokio::test]
async fn a_connection_that_ends_within_a_packet_leaves_nothing() {
    let lab = Lab::start();
    let mut bystander = lab.device(V5, "bystander").await;
    bystander.subscribe("told", QoS::AtMostOnce).await;
    for version in BOTH {
        let mut publish = Vec::new();
        encode_publish(&mut publish, version, &outline("told", QoS::AtLeastOnce));
        let mut subscribe = Vec::new();
        encode_subscribe(
            &mut subscribe,
            version,
            id(1),
            &[("told", QoS::AtLeastOnce)],
        );
        for whole in [publish, subscribe] {
            for end in 0..whole.len() {
                let mut device = lab.device(version, "cut").await;
                device.send(&whole[..end]).await;
                drop(device);
            }
        }
        let mut connect = Vec::new();
        encode_connect(&mut connect, version, &clean("cut")).unwrap();
        for end in 0..connect.len() {
            let mut device = lab.dial(version);
            device.send(&connect[..end]).await;
            drop(device);
        }
    }
    lab.eventually(|lab| {
        let mut links = 0;
        lab.core.directory.for_each_link(|_, _| links += 1);
        links == 1
    })
    .await;
    bystander.hears_nothing().await;
}

#[tokio::test]
async fn every_beginning_of_a_packet_that_says_to_be_whole_is_answered_or_ends_its_connection() {
    let lab = Lab::start();
    let mut bystander = lab.device(V5, "bystander").await;
    for version in BOTH {
        for whole in fuzz::corpus_of(version) {
            let Some((first, body)) = Frames::new(1 << 20)
                .next(&mut BytesMut::from(&whole[..]))
                .unwrap()
            else {
                panic!("{whole:x?} is whole");
            };
            if first == 0x10 {
                continue;
            }
            for end in 0..body.len() {
                let mut device = lab.device(version, "cut").await;
                device.send(&packet(first, &body[..end])).await;
                let (heard, closed) = device.fate().await;
                // A PUBLISH without the end of its payload is one; so is a shorter list.
                let answered = heard.iter().all(|packet| {
                    matches!(
                        packet,
                        FromServer::PubAck { .. }
                            | FromServer::SubAck { .. }
                            | FromServer::UnsubAck { .. }
                            | FromServer::Publish(_)
                    )
                });
                let ended = match (version, heard.as_slice()) {
                    (V3, []) => closed,
                    (V5, [FromServer::Disconnect(_)]) => closed,
                    // It said goodbye.
                    (V5, []) => closed && first == 0xE0,
                    _ => false,
                };
                assert!(
                    ended || answered && !closed,
                    "{version:?} {first:x} {:x?}: {heard:?}, closed {closed}",
                    &body[..end]
                );
            }
        }
    }
    assert_eq!(bystander.tell("bystander", b"x").await, 0);
}
