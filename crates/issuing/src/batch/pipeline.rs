//! The coordinator: hands chunks to the workers, and keeps the order of things.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use crossbeam_channel::{Receiver, Sender, unbounded};
use jitp_core::{
    ca::{CaError, DeviceIssuer, KeyType},
    certificate::CertificateId,
};
use time::OffsetDateTime;
use zeroize::Zeroizing;

use super::{
    Item, Order, Outcome, Plan, Source, Summary, What,
    worker::{Done, Job, Prepared, Shop, Signed},
};
use crate::{
    error::IssuingError,
    ledger::{Current, Ledger, OpenBatch, Origin, Reservation, State},
    output::{Archive, Folder, Layout, Maker},
};

/// One run of a batch.
pub(super) struct Run<'a, 'b> {
    pub(super) ledger: &'a mut Ledger,
    pub(super) issuer: &'a DeviceIssuer<'b>,
    pub(super) plan: &'a Plan,
    pub(super) open: &'a OpenBatch,
    pub(super) resumed: bool,
    /// How many certificates the CA may sign yet, if it is under a quota.
    pub(super) left: Option<u64>,
    pub(super) stop: &'a AtomicBool,
    pub(super) summary: &'a mut Summary,
}

/// Issues until there is nothing left, something fails, or it is to stop.
pub(super) fn run(
    run: &mut Run<'_, '_>,
    source: &dyn Source,
    said: &mut dyn FnMut(&Order<'_>) -> bool,
) -> Result<(), IssuingError> {
    let open = run.open;
    let target = &open.target;
    let gone = || IssuingError::TargetGone {
        batch: open.batch,
        path: target.path.clone(),
    };
    let archive = match (target.layout, run.resumed) {
        (Layout::Folder | Layout::Sharded, _) => None,
        (Layout::Tar | Layout::Zip, false) => Some(Archive::create(target)?),
        (Layout::Tar | Layout::Zip, true) => {
            match Archive::reopen(target, open.batch, &open.written)? {
                Some(archive) => Some(archive),
                // Nothing was written yet: it is as good as new.
                None if open.written.archive == 0 => Some(Archive::create(target)?),
                None => return Err(gone()),
            }
        }
    };
    let folder = match archive {
        Some(_) => None,
        None => Some(Folder::open(target, true)?.ok_or_else(gone)?),
    };
    let shop = Shop {
        issuer: run.issuer,
        key_type: run.plan.key_type,
        target,
        maker: Maker {
            passphrase: run
                .plan
                .passphrase
                .as_ref()
                .map(|passphrase| passphrase.0.as_slice()),
        },
        folder,
        time: OffsetDateTime::now_utc().unix_timestamp().unsigned_abs(),
        spare: Mutex::default(),
    };
    let threads = run.plan.threads.get();
    let (jobs, work) = unbounded();
    let (done, answers) = unbounded();
    thread::scope(|scope| {
        for _ in 0..threads {
            let (work, done, shop) = (work.clone(), done.clone(), &shop);
            scope.spawn(move || shop.work(&work, &done));
        }
        drop((work, done));
        let mut coordinator = Coordinator {
            run,
            shop: &shop,
            archive,
            items: source.items(),
            jobs,
            next: 0,
            prepared: BTreeMap::new(),
            reserve_next: 0,
            signed: BTreeMap::new(),
            complete_next: 0,
            under_way: 0,
            failure: None,
            stuck: false,
        };
        // The slower the disk, the more chunks go into one sync; each takes some three megabytes.
        coordinator.coordinate(&answers, 4 * threads + 8, said);
        coordinator.end()
    })
}

struct Coordinator<'a, 'r, 'b, 's> {
    run: &'a mut Run<'r, 'b>,
    shop: &'a Shop<'a>,
    archive: Option<Archive<'a>>,
    items: Box<dyn Iterator<Item = Item> + 's>,
    jobs: Sender<Job>,
    /// The number of the next chunk.
    next: u64,
    /// Chunks that have keys, and the one whose turn it is: serial numbers are taken in the order of the devices.
    prepared: BTreeMap<u64, Vec<Prepared>>,
    reserve_next: u64,
    /// Chunks that are signed, and the one whose turn it is: the ledger is completed in the order of its rows.
    signed: BTreeMap<u64, Signed>,
    complete_next: u64,
    under_way: usize,
    failure: Option<IssuingError>,
    /// Whether the ledger cannot be completed any more in this run: it goes row by row, and of one nobody knows what
    /// became of it.
    stuck: bool,
}

impl Coordinator<'_, '_, '_, '_> {
    fn coordinate(
        &mut self,
        answers: &Receiver<Done>,
        limit: usize,
        said: &mut dyn FnMut(&Order<'_>) -> bool,
    ) {
        let mut more = true;
        loop {
            while more && self.under_way < limit {
                more = !self.is_to_stop() && self.feed(said);
            }
            if self.under_way == 0 {
                return;
            }
            let Ok(answer) = answers.recv() else {
                return; // no worker is left
            };
            self.take(answer);
            // What else is there already goes into the same transaction.
            while let Ok(answer) = answers.try_recv() {
                self.take(answer);
            }
            self.reserve();
            self.complete(said);
        }
    }

    fn is_to_stop(&self) -> bool {
        self.failure.is_some() || self.run.stop.load(Ordering::Relaxed)
    }

    fn fail(&mut self, error: IssuingError) {
        self.failure.get_or_insert(error);
    }

    fn say(&mut self, order: &Order<'_>, said: &mut dyn FnMut(&Order<'_>) -> bool) {
        match order.outcome {
            Outcome::Issued => self.run.summary.issued += 1,
            Outcome::Unchanged => self.run.summary.unchanged += 1,
        }
        if !said(order) {
            self.run.stop.store(true, Ordering::Relaxed);
        }
    }

    /// Hands out the next chunk; false if there is none.
    fn feed(&mut self, said: &mut dyn FnMut(&Order<'_>) -> bool) -> bool {
        let size = chunk(self.run.plan.key_type);
        let mut items = Vec::with_capacity(size);
        while items.len() < size {
            let Some(item) = self.items.next() else { break };
            if self.run.resumed {
                match unchanged(self.run.ledger, self.run.open, &item) {
                    Ok(Some(order)) => {
                        self.say(&order, said);
                        continue;
                    }
                    Ok(None) => {}
                    Err(error) => {
                        self.fail(error);
                        return false;
                    }
                }
            }
            items.push(item);
        }
        if items.is_empty() {
            return false;
        }
        let number = self.next;
        self.next += 1;
        self.under_way += 1;
        // Workers are there as long as this is.
        let _ = self.jobs.send(Job::Keys { number, items });
        true
    }

    fn take(&mut self, answer: Done) {
        match answer {
            Done::Keys { number, prepared } => match prepared {
                Ok(prepared) => {
                    self.prepared.insert(number, prepared);
                }
                Err(error) => {
                    self.prepared.insert(number, Vec::new());
                    self.fail(error);
                }
            },
            Done::Signed { number, signed } => {
                self.signed.insert(number, signed);
            }
        }
    }

    /// Reserves serial numbers for the chunks whose turn it is, and has them signed.
    fn reserve(&mut self) {
        while let Some(prepared) = self.prepared.remove(&self.reserve_next) {
            let number = self.reserve_next;
            self.reserve_next += 1;
            // Nothing is reserved any more that would not be signed.
            let taken = match self.failure.is_some() || prepared.is_empty() {
                true => Ok(Vec::new()),
                false => self.take_serials(&prepared),
            };
            let serials = taken.unwrap_or_else(|error| {
                self.fail(error);
                Vec::new()
            });
            let devices = prepared.iter().map(|one| one.item.what.device());
            let elsewhere = match serials.is_empty() {
                true => Ok(()),
                false => self.run.ledger.check_elsewhere(devices),
            };
            if let Err(error) = elsewhere {
                self.fail(error);
                self.signed.insert(number, Signed::void(serials.len()));
                continue;
            }
            if serials.is_empty() {
                self.signed.insert(number, Signed::void(0));
                continue;
            }
            // Workers are there as long as this is.
            let _ = self.jobs.send(Job::Sign {
                number,
                prepared,
                serials,
            });
        }
    }

    fn take_serials(
        &mut self,
        prepared: &[Prepared],
    ) -> Result<Vec<jitp_core::ca::SerialNumber>, IssuingError> {
        let reservations: Vec<_> = prepared
            .iter()
            .map(|prepared| Reservation {
                device: prepared.item.what.device(),
                key: prepared.hash,
                origin: match prepared.item.what {
                    What::Make(_) => Origin::Made,
                    What::Certify(_) => Origin::Requested,
                },
                formats: prepared.item.formats.as_deref(),
            })
            .collect();
        let asked = reservations.len() as u64;
        if let (Some(left), Some(quota)) = (&mut self.run.left, self.run.issuer.quota()) {
            // A batch that was begun under a larger quota, or beside which others have issued.
            let issued = quota.count() - *left;
            quota.check_count(issued, asked).map_err(CaError::from)?;
            *left -= asked;
        }
        let reissue = self.run.plan.reissue;
        self.run
            .ledger
            .reserve(self.run.open, &reservations, reissue)
    }

    /// Sees the chunks whose turn it is onto the disk, completes them in the ledger, and says so.
    fn complete(&mut self, said: &mut dyn FnMut(&Order<'_>) -> bool) {
        let mut group = Vec::new();
        while let Some(signed) = self.signed.remove(&self.complete_next) {
            self.complete_next += 1;
            self.under_way -= 1;
            group.push(signed);
        }
        if self.stuck || group.iter().all(|signed| signed.length == 0) {
            return;
        }
        let mut written = self.run.open.written.clone();
        for signed in &mut group {
            if let Some(error) = signed.failure.take() {
                self.failure.get_or_insert(error);
            }
            if let Some(archive) = &mut self.archive {
                match archive.append(&signed.members) {
                    Ok(so_far) => written = so_far,
                    Err(error) => {
                        // What is not in the archive was not made.
                        signed.made.clear();
                        self.failure.get_or_insert(error);
                    }
                }
                let mut members = std::mem::take(&mut signed.members);
                if let Ok(mut spare) = self.shop.spare.lock() {
                    // Not wiped: the next chunk has the same place.
                    Vec::clear(&mut members);
                    spare.push(members);
                }
            }
        }
        if let Some(folder) = &self.shop.folder
            && let Err(error) = folder.sync()
        {
            // Nobody knows what is on the disk: the rows stay reserved, and the next run looks.
            self.fail(error);
            self.stuck = true;
            return;
        }
        let outcomes: Vec<Option<&CertificateId>> = group
            .iter()
            .flat_map(|signed| {
                let made = signed.made.iter().map(|made| Some(&made.id));
                made.chain(std::iter::repeat_n(None, signed.length - signed.made.len()))
            })
            .collect();
        if let Err(error) = self.run.ledger.complete(self.run.open, &outcomes, &written) {
            self.fail(error);
            self.stuck = true;
            return;
        }
        for made in group.into_iter().flat_map(|signed| signed.made) {
            let formats = made
                .formats
                .as_ref()
                .unwrap_or(&self.run.open.target.formats);
            let order = Order {
                device: made.device.as_str(),
                outcome: Outcome::Issued,
                files: self
                    .run
                    .open
                    .files(made.device.as_str(), formats, made.requested),
                certificate: made.id,
            };
            self.say(&order, said);
        }
    }

    fn end(mut self) -> Result<(), IssuingError> {
        let stopped = self.is_to_stop();
        match (self.failure.take(), self.archive.take()) {
            (Some(error), _) => Err(error),
            (None, Some(archive)) if !stopped => archive.finish(),
            _ => Ok(()),
        }
    }
}

impl Signed {
    /// A chunk that was not signed, and has so many rows in the ledger.
    fn void(length: usize) -> Self {
        Self {
            made: Vec::new(),
            length,
            members: Zeroizing::default(),
            failure: None,
        }
    }
}

/// What a device has from an earlier run of this batch; nothing if it has nothing yet.
pub(super) fn unchanged<'i>(
    ledger: &Ledger,
    open: &OpenBatch,
    item: &'i Item,
) -> Result<Option<Order<'i>>, IssuingError> {
    let device = item.what.device();
    let here = |current: &Current| current.batch == open.batch && current.state == State::Issued;
    let Some(certificate) = ledger
        .current(device)?
        .filter(here)
        .and_then(|current| current.certificate)
    else {
        return Ok(None);
    };
    let formats = item.formats.as_ref().unwrap_or(&open.target.formats);
    let requested = matches!(item.what, What::Certify(_));
    Ok(Some(Order {
        device,
        outcome: Outcome::Unchanged,
        certificate,
        files: open.files(device, formats, requested),
    }))
}

/// How many devices are worked on in one go: enough that what is done once for all of them does not count, and not so
/// many that a stop takes long.
fn chunk(key_type: KeyType) -> usize {
    match key_type {
        KeyType::P256 => 1000,
        KeyType::P384 => 250,
        KeyType::Rsa2048 | KeyType::Rsa3072 | KeyType::Rsa4096 => 4,
    }
}
