//! Which station signs, where several do with one CA.

use clap::Args;
use jitp_cli::environment;
use jitp_core::ca::Station;

// (No docstring: clap would show it as what the program does.)
#[derive(Args, Clone, Copy)]
#[command(next_help_heading = "CA key options")]
pub(crate) struct StationFlag {
    /// Number of this station, 1 to 127, if several sign with one CA: its ledger is CA.station-N.ledger
    #[arg(long, value_name = "N", env = environment::JITP_STATION, hide_env = true, default_value_t = Station::FIRST)]
    pub(crate) station: Station,
}
