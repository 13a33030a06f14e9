//! Where the results of a load test go: rows on stdout, and a folder with everything.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use jitp_cli::{Common, Failure, Report, Result};
use jitp_loadtest::{HdrLog, Held, Histograms, LATENCIES, Outcome, RESULT, Tick};
use serde::Serialize;
use time::OffsetDateTime;
use time::macros::format_description;

/// Where the results go.
pub(super) struct Results {
    folder: PathBuf,
    log: Option<HdrLog>,
    /// What could not be written down while it ran.
    failed: Option<Failure>,
    _svg: bool,
    _png: bool,
}

#[derive(Serialize)]
#[serde(transparent)]
struct Whole<'a>(&'a Outcome);

impl Report for Whole<'_> {
    fn columns(&self) -> Vec<String> {
        Vec::new()
    }
}

#[derive(Serialize)]
struct Row {
    name: String,
    value: String,
}

impl Report for Row {
    fn columns(&self) -> Vec<String> {
        vec![self.name.clone(), self.value.clone()]
    }
}

impl Results {
    /// Makes the folder; it must be new, or empty.
    ///
    /// # Errors
    /// When it cannot be made or has something in it.
    pub(super) fn prepare(
        folder: Option<PathBuf>,
        _run: &str,
        svg: bool,
        png: bool,
    ) -> Result<Self> {
        let folder = folder.unwrap_or_else(|| PathBuf::from(format!("loadtest-{}", now())));
        new_folder(&folder)?;
        Ok(Self {
            folder,
            log: None,
            failed: None,
            _svg: svg,
            _png: png,
        })
    }

    /// Writes down the latencies of a second.
    pub(super) fn tick(&mut self, tick: &Tick<'_>) {
        if self.failed.is_some() {
            return;
        }
        if let Err(failure) = self.log_second(tick) {
            self.failed = Some(failure);
        }
    }

    fn log_second(&mut self, tick: &Tick<'_>) -> Result<()> {
        let log = match &mut self.log {
            Some(log) => log,
            None => self.log.insert(HdrLog::create(
                &self.folder.join(LATENCIES),
                tick.started_at,
            )?),
        };
        let start = tick.second.at - tick.length;
        log.interval(start.max(0.0), tick.length, tick.latencies)?;
        Ok(())
    }

    /// Writes the results, and answers.
    ///
    /// # Errors
    /// When something cannot be written.
    pub(super) fn publish(
        mut self,
        outcome: &Outcome,
        histograms: &Histograms,
        held: &[Held],
        common: &Common,
    ) -> Result<()> {
        if let Some(failure) = self.failed.take() {
            return Err(failure);
        }
        write_all(&self.folder, outcome, histograms, held)?;
        let mut reporter = common.reporter();
        match common.output {
            jitp_cli::OutputFormat::Json => reporter.line(&Whole(outcome))?,
            jitp_cli::OutputFormat::Text => {
                for (name, value) in outcome.counts.named() {
                    reporter.line(&Row {
                        name: name.to_owned(),
                        value: value.to_string(),
                    })?;
                }
            }
        }
        common.say(format!("results: {}", self.folder.display()));
        Ok(())
    }
}

/// Makes a folder that must be new, or empty.
///
/// # Errors
/// When it cannot be made or has something in it.
pub(super) fn new_folder(folder: &Path) -> Result<()> {
    let failed = |error: &io::Error| {
        Failure::io(
            &format!("cannot make the folder {}", folder.display()),
            error,
        )
    };
    fs::create_dir_all(folder).map_err(|error| failed(&error))?;
    let mut entries = fs::read_dir(folder).map_err(|error| failed(&error))?;
    match entries.next() {
        None => Ok(()),
        Some(_) => Err(Failure::new(
            jitp_core::failure::Class::Conflict,
            format!("{} has something in it already", folder.display()),
        )
        .hint("results are never overwritten: give another --out")),
    }
}

/// Writes what is written at the end of a run.
pub(super) fn write_all(
    folder: &Path,
    outcome: &Outcome,
    _histograms: &Histograms,
    _held: &[Held],
) -> Result<()> {
    let json = serde_json::to_vec_pretty(outcome)
        .map_err(|error| Failure::usage(format!("the result cannot be written: {error}")))?;
    let path = folder.join(RESULT);
    fs::write(&path, json)
        .map_err(|error| Failure::io(&format!("cannot write {}", path.display()), &error))
}

fn now() -> String {
    let format = format_description!("[year][month][day]T[hour][minute][second]Z");
    OffsetDateTime::now_utc()
        .format(&format)
        .unwrap_or_else(|_| "now".to_owned())
}
