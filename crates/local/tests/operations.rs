//! The table in docs/operations.md is the list of what is served. To write it anew:
//! `OVERWRITE=1 cargo test -p jitp-local --test operations`.

use std::fmt::Write as _;

use jitp_local::server::operations;

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/operations.md");
const START: &str = "<!-- operations -->\n";
const END: &str = "<!-- end of operations -->";

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
    let page = std::fs::read_to_string(PAGE).expect("the page is there");
    let (before, rest) = page.split_once(START).expect("the table's start is marked");
    let (present, after) = rest.split_once(END).expect("the table's end is marked");
    if std::env::var_os("OVERWRITE").is_some() {
        let page = format!("{before}{START}{table}{END}{after}");
        std::fs::write(PAGE, page).expect("the page can be written");
    } else {
        assert_eq!(present, table, "out of date; see the head of this test");
    }
}
