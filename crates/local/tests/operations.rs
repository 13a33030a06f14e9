//! The tables in docs/operations.md and README.md are the list of what is served. To write them anew:
//! `OVERWRITE=1 cargo test -p jitp-local --test operations`.

use std::{collections::BTreeMap, fmt::Write as _};

use jitp_local::server::operations;

const START: &str = "<!-- operations -->\n";
const END: &str = "<!-- end of operations -->";

/// The table between the marks of a page is this one, or becomes it.
fn compare(page: &str, table: &str) {
    let path = format!("{}/../../{page}", env!("CARGO_MANIFEST_DIR"));
    let page = std::fs::read_to_string(&path).expect("the page is there");
    let (before, rest) = page.split_once(START).expect("the table's start is marked");
    let (present, after) = rest.split_once(END).expect("the table's end is marked");
    if std::env::var_os("OVERWRITE").is_some() {
        let page = format!("{before}{START}{table}{END}{after}");
        std::fs::write(path, page).expect("the page can be written");
    } else {
        assert_eq!(present, table, "out of date; see the head of this test");
    }
}

#[test]
fn the_page_lists_what_is_served() {
    let mut table = String::from("| service | operation | request |\n|---|---|---|\n");
    for offered in operations() {
        let (service, name) = (offered.service, offered.name);
        let _ = writeln!(
            table,
            "| {service} | {name} | {} `{}` |",
            offered.method, offered.path
        );
    }
    compare("docs/operations.md", &table);
}

#[test]
fn the_readme_lists_it_by_service() {
    let mut services: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for offered in operations() {
        services
            .entry(offered.service)
            .or_default()
            .push(offered.name);
    }
    let mut table = String::from("| service | operations |\n|---|---|\n");
    for (service, names) in services {
        let _ = writeln!(table, "| {service} | {} |", names.join(", "));
    }
    compare("README.md", &table);
}
