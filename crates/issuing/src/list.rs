//! The list of a batch: a CSV file (RFC 4180) with a header, of which every row is judged before anything is issued.

use std::{
    collections::{HashMap, HashSet, hash_map::Entry},
    hash::{BuildHasher, RandomState},
};

use csv::{ByteRecord, Position, ReaderBuilder};
use jitp_core::{
    ca::{Attribute, DeviceSubject},
    failure::{Class, Classified},
    names::ThingName,
};

use crate::{Format, Item, Source, What};

/// What a column holds.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Column {
    Device,
    Attribute(Attribute),
    Formats,
}

/// A list whose good rows can be issued.
#[derive(Debug)]
pub struct DeviceList {
    bytes: Vec<u8>,
    delimiter: u8,
    columns: Vec<Column>,
    /// Attributes that rows get which do not say otherwise.
    common: Vec<(Attribute, String)>,
    bad: HashSet<u64>,
    good: u64,
}

/// A row that cannot be issued.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct BadRow {
    /// The line it begins on, counted from 1.
    pub line: u64,
    /// The column by the name it has in the header, if it is one column's fault.
    pub column: Option<String>,
    /// Why.
    pub why: String,
}

/// Why a text is no list at all.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ListError {
    /// No row.
    #[error("the list is empty")]
    Empty,
    /// A first line that names a column nobody knows.
    #[error("line 1: {name:?} is no column; there are {}", COLUMNS.join(", "))]
    UnknownColumn {
        /// What stands there.
        name: String,
    },
    /// The same column twice.
    #[error("line 1: the column {name:?} is there twice")]
    ColumnTwice {
        /// Its name.
        name: String,
    },
    /// No column with the device.
    #[error("line 1: there is no column `device`")]
    NoDevice,
    /// Not UTF-8.
    #[error("line {line}: it is no UTF-8 text")]
    Encoding {
        /// The line.
        line: u64,
    },
}

impl Classified for ListError {
    fn class(&self) -> Class {
        Class::Configuration
    }

    fn hint(&self) -> Option<String> {
        Some(
            "the first line names the columns, for example: device,organization,serial_number"
                .to_owned(),
        )
    }
}

/// The names of columns in the form they are documented in.
const COLUMNS: [&str; 8] = [
    "device",
    "country",
    "organization",
    "organizational_unit",
    "state",
    "dn_qualifier",
    "serial_number",
    "format",
];

impl Column {
    /// By the name of a subject field, or of the template parameter that AWS IoT fills from it.
    fn of(name: &str) -> Option<Self> {
        let name = name.trim();
        let name = name.strip_prefix("AWS::IoT::Certificate::").unwrap_or(name);
        let plain: String = name
            .chars()
            .filter(char::is_ascii_alphanumeric)
            .map(|letter| letter.to_ascii_lowercase())
            .collect();
        Some(match plain.as_str() {
            "device" | "thing" | "thingname" | "commonname" | "cn" => Self::Device,
            "country" | "c" => Self::Attribute(Attribute::Country),
            "organization" | "o" => Self::Attribute(Attribute::Organization),
            "organizationalunit" | "ou" => Self::Attribute(Attribute::OrganizationalUnit),
            "state" | "statename" | "st" => Self::Attribute(Attribute::State),
            "dnqualifier" | "distinguishednamequalifier" => Self::Attribute(Attribute::DnQualifier),
            "serialnumber" => Self::Attribute(Attribute::SerialNumber),
            "format" | "formats" => Self::Formats,
            _ => return None,
        })
    }
}

impl DeviceList {
    /// Reads a list and judges every row: names, attributes, formats, and that no device is there twice. `common` are
    /// attributes for rows that have no value of their own.
    ///
    /// # Errors
    /// When it is no list. Rows that cannot be issued are in the answer, and left out of the [`Source`].
    pub fn read(
        bytes: Vec<u8>,
        common: Vec<(Attribute, String)>,
    ) -> Result<(Self, Vec<BadRow>), ListError> {
        let bytes = match bytes.strip_prefix(b"\xef\xbb\xbf") {
            Some(rest) => rest.to_vec(),
            None => bytes,
        };
        let mut list = Self {
            columns: Vec::new(),
            delimiter: delimiter(&bytes),
            bytes,
            common,
            bad: HashSet::new(),
            good: 0,
        };
        let mut reader = reader(&list.bytes, list.delimiter);
        let mut record = ByteRecord::new();
        // Rows are records of whatever length: nothing else can go wrong in reading bytes.
        let mut next = |record: &mut ByteRecord| reader.read_byte_record(record).unwrap_or(false);
        if !next(&mut record) {
            return Err(ListError::Empty);
        }
        let mut names = Vec::new();
        for name in &record {
            let name = std::str::from_utf8(name).map_err(|_| ListError::Encoding { line: 1 })?;
            let name = name.trim().to_owned();
            let column =
                Column::of(&name).ok_or_else(|| ListError::UnknownColumn { name: name.clone() })?;
            if list.columns.contains(&column) {
                return Err(ListError::ColumnTwice { name });
            }
            list.columns.push(column);
            names.push(name);
        }
        if !list.columns.contains(&Column::Device) {
            return Err(ListError::NoDevice);
        }
        let mut bad = Vec::new();
        let hasher = RandomState::new();
        // By hash, so that a million names fit; where two are the same the rows are compared.
        let mut seen: HashMap<u64, (u64, u64)> = HashMap::new();
        while next(&mut record) {
            let (line, offset) = record
                .position()
                .map_or((0, 0), |position| (position.line(), position.byte()));
            let judged = list.item(&record).and_then(|item| {
                match seen.entry(hasher.hash_one(item.what.device())) {
                    Entry::Vacant(vacant) => {
                        vacant.insert((line, offset));
                        Ok(())
                    }
                    Entry::Occupied(first) => {
                        let (first_line, first_offset) = *first.get();
                        match list.device_at(first_offset) == Some(item.what.device().to_owned()) {
                            true => Err((
                                Some(list.place(Column::Device)),
                                format!("{} is on line {first_line} already", item.what.device()),
                            )),
                            false => Ok(()),
                        }
                    }
                }
            });
            match judged {
                Ok(()) => list.good += 1,
                Err((column, why)) => {
                    list.bad.insert(offset);
                    bad.push(BadRow {
                        line,
                        column: column.and_then(|place| names.get(place).cloned()),
                        why,
                    });
                }
            }
        }
        Ok((list, bad))
    }

    /// How many rows can be issued.
    pub fn len(&self) -> u64 {
        self.good
    }

    /// Whether there is no row that can be issued.
    pub fn is_empty(&self) -> bool {
        self.good == 0
    }

    /// The text, which tells this list from others.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    fn place(&self, column: Column) -> usize {
        self.columns
            .iter()
            .position(|&found| found == column)
            .unwrap_or(0)
    }

    /// The device of the row that begins at an offset.
    fn device_at(&self, offset: u64) -> Option<String> {
        let rest = self.bytes.get(usize::try_from(offset).ok()?..)?;
        let mut record = ByteRecord::new();
        reader(rest, self.delimiter)
            .read_byte_record(&mut record)
            .ok()?;
        let device = record.get(self.place(Column::Device))?;
        Some(std::str::from_utf8(device).ok()?.trim().to_owned())
    }

    /// A row as an item, or the place of the column that is at fault and why.
    fn item(&self, record: &ByteRecord) -> Result<Item, (Option<usize>, String)> {
        if record.len() != self.columns.len() {
            let why = format!(
                "it has {} columns, and the first line has {}",
                record.len(),
                self.columns.len()
            );
            return Err((None, why));
        }
        let value = |place: usize| {
            std::str::from_utf8(&record[place])
                .map_err(|_| (Some(place), "it is no UTF-8 text".to_owned()))
                .and_then(|text| match text.contains('\n') {
                    // A quote that is not closed would swallow the rows behind it.
                    true => Err((
                        Some(place),
                        "there is a line break in it; is a quote not closed?".to_owned(),
                    )),
                    false => Ok(text.trim()),
                })
        };
        let device = self.place(Column::Device);
        let at = |place: usize| move |why: String| (Some(place), why);
        let name: ThingName = value(device)?
            .parse()
            .map_err(|error: jitp_core::names::NameError| at(device)(error.to_string()))?;
        let mut subject =
            DeviceSubject::new(name).map_err(|error| at(device)(error.to_string()))?;
        let mut formats = None;
        for (place, column) in self.columns.iter().enumerate() {
            let text = value(place)?;
            if text.is_empty() {
                continue;
            }
            match column {
                Column::Device => {}
                Column::Attribute(attribute) => {
                    subject = subject
                        .with(*attribute, text)
                        .map_err(|error| at(place)(error.to_string()))?;
                }
                Column::Formats => {
                    let names = text
                        .split([',', ';', ' ', '+'])
                        .filter(|name| !name.is_empty());
                    let read: Result<Vec<Format>, String> = names.map(str::parse).collect();
                    formats = Some(read.map_err(at(place))?);
                }
            }
        }
        for (attribute, text) in &self.common {
            if subject.subject().value(*attribute).is_none() {
                subject = subject
                    .with(*attribute, text)
                    .map_err(|error| (None, error.to_string()))?;
            }
        }
        Ok(Item {
            what: What::Make(subject),
            formats,
        })
    }
}

impl Source for DeviceList {
    fn items(&self) -> Box<dyn Iterator<Item = Item> + '_> {
        let mut reader = reader(&self.bytes, self.delimiter);
        let mut record = ByteRecord::new();
        // The header.
        let _ = reader.read_byte_record(&mut record);
        Box::new(std::iter::from_fn(move || {
            loop {
                if !reader.read_byte_record(&mut record).unwrap_or(false) {
                    return None;
                }
                let offset = record.position().map_or(0, Position::byte);
                if self.bad.contains(&offset) {
                    continue;
                }
                // Judged when the list was read.
                if let Ok(item) = self.item(&record) {
                    return Some(item);
                }
            }
        }))
    }
}

/// Spreadsheets of many countries separate by semicolons, and what is copied out of them by tabs: the first line tells.
fn delimiter(bytes: &[u8]) -> u8 {
    let first = bytes
        .split(|&byte| byte == b'\n')
        .next()
        .unwrap_or_default();
    let separators = [b',', b';', b'\t'];
    *separators
        .iter()
        .find(|separator| first.contains(separator))
        .unwrap_or(&b',')
}

fn reader(bytes: &[u8], delimiter: u8) -> csv::Reader<&[u8]> {
    ReaderBuilder::new()
        .delimiter(delimiter)
        .has_headers(false)
        .flexible(true)
        .from_reader(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> (DeviceList, Vec<String>) {
        let (list, bad) = DeviceList::read(text.as_bytes().to_vec(), Vec::new()).unwrap();
        let bad = bad
            .into_iter()
            .map(|bad| {
                format!(
                    "{} {}: {}",
                    bad.line,
                    bad.column.unwrap_or_default(),
                    bad.why
                )
            })
            .collect();
        (list, bad)
    }

    fn refusal(text: &[u8]) -> String {
        DeviceList::read(text.to_vec(), Vec::new())
            .unwrap_err()
            .to_string()
    }

    #[test]
    fn a_list_is_read_with_its_columns_by_any_of_their_names() {
        let (list, bad) = read(
            "\u{feff}AWS::IoT::Certificate::CommonName,O,Serial Number,format\r\n\
             pump-1,\"Acme, Inc.\",0815,\r\n\r\npump-2,,,der;pem\r\n",
        );
        assert_eq!(bad, Vec::<String>::new());
        let items: Vec<_> = list.items().collect();
        assert_eq!((items.len(), list.len()), (2, 2));
        let What::Make(subject) = &items[0].what else {
            panic!("{items:?}")
        };
        let attributes: Vec<_> = subject.subject().attributes().collect();
        assert_eq!(
            attributes,
            [
                (Attribute::CommonName, "pump-1"),
                (Attribute::Organization, "Acme, Inc."),
                (Attribute::SerialNumber, "0815")
            ]
        );
        assert_eq!(items[1].formats, Some(vec![Format::Der, Format::Pem]));
    }

    #[test]
    fn a_bad_row_says_line_column_and_why_and_the_others_are_there() {
        let (list, bad) = read(
            "device,country\npump-1,LU\npump 2,LU\npump-3,Luxembourg\npump-1,\npump-4\npump-5,\"LU\n",
        );
        assert_eq!(bad.len(), 5, "{bad:?}");
        assert!(
            bad[0].starts_with("3 device: ") && bad[0].contains("white space"),
            "{bad:?}"
        );
        assert!(
            bad[1].starts_with("4 country: ") && bad[1].contains("capital letters"),
            "{bad:?}"
        );
        assert!(
            bad[2].starts_with("5 device: pump-1 is on line 2 already"),
            "{bad:?}"
        );
        assert!(bad[3].starts_with("6 : it has 1 columns"), "{bad:?}");
        assert!(
            bad[4].starts_with("7 country: there is a line break"),
            "{bad:?}"
        );
        assert_eq!((list.items().count(), list.len()), (1, 1));
        let (list, bad) = read("device;o\npump-1;Acme, Inc.\n");
        assert_eq!((list.items().count(), bad.len()), (1, 0));
        let (_, bad) = read("device,format\npump-1,pdf\n");
        assert!(bad[0].contains("2 format: \"pdf\" is no format"), "{bad:?}");
    }

    #[test]
    fn what_is_no_list_is_refused() {
        assert!(refusal(b"").contains("empty"));
        assert!(refusal(b"pump-1\npump-2\n").contains("\"pump-1\" is no column"));
        assert!(refusal(b"organization\nAcme\n").contains("no column `device`"));
        assert!(refusal(b"device,cn\n").contains("twice"));
        assert!(refusal(b"\xff\xfe\n").contains("line 1"));
        let (_, bad) = DeviceList::read(b"device\n\xff\n".to_vec(), Vec::new()).unwrap();
        assert_eq!(bad[0].why, "it is no UTF-8 text");
    }

    #[test]
    fn what_is_said_for_all_gives_way_to_what_a_row_says() {
        let common = vec![(Attribute::Organization, "Acme".to_owned())];
        let (list, _) = DeviceList::read(b"device,o\na,\nb,Emca\n".to_vec(), common).unwrap();
        let organizations: Vec<_> = list
            .items()
            .map(|item| match item.what {
                What::Make(subject) => subject
                    .subject()
                    .value(Attribute::Organization)
                    .unwrap()
                    .to_owned(),
                What::Certify(_) => unreachable!("a list names devices"),
            })
            .collect();
        assert_eq!(organizations, ["Acme", "Emca"]);
    }
}
