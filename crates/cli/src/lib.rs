//! What every program shares: run(), common flags, reports, exit codes, environment variables.
