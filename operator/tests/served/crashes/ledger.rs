//! What the operator acknowledged, and whether the database has it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};

use sqlx::{AnyConnection, Connection as _, Row as _};
use stella_authority::audit::{Place, verify_files};

use super::images::Images;
use crate::database::{connect, names, rows};

/// What was acknowledged. Clones share it.
#[derive(Clone, Default)]
pub struct Ledger(Arc<Mutex<Acknowledged>>);

/// What the answers said. Whoever was not answered asked again.
#[derive(Clone, Default)]
pub struct Acknowledged {
    /// Scans of `POST /scan` that had an end, with the digest of their image.
    pub uploads: BTreeMap<String, String>,
    /// Scans that were taken into the queue, with the image they name.
    pub queued: BTreeMap<String, String>,
    /// Those of them that were called off.
    pub called_off: BTreeSet<String>,
    /// Ids of runtime events.
    pub events: BTreeSet<String>,
    /// Digests of imported policies by the number of their revision.
    pub revisions: BTreeMap<i64, String>,
    /// Ids of waivers.
    pub waivers: BTreeSet<String>,
    /// Names of clients of the authority.
    pub clients: BTreeSet<String>,
}

impl Ledger {
    pub fn lock(&self) -> MutexGuard<'_, Acknowledged> {
        self.0.lock().unwrap()
    }

    /// What was acknowledged until now.
    pub fn now(&self) -> Acknowledged {
        self.lock().clone()
    }
}

impl Acknowledged {
    /// How much there is of each, for people.
    pub fn told(&self) -> String {
        let Self { uploads, queued, called_off, events, revisions, waivers, clients } = self;
        let all = uploads.len() + queued.len() + events.len() + revisions.len() + waivers.len() + clients.len();
        format!(
            "{all} acknowledged: {} uploads, {} queued scans ({} called off), {} events, {} revisions, {} waivers, {} clients",
            uploads.len(),
            queued.len(),
            called_off.len(),
            events.len(),
            revisions.len(),
            waivers.len(),
            clients.len()
        )
    }

    /// What is wrong with the database: what is missing of this, and what is there twice.
    pub async fn missing(&self, url: &str) -> Vec<String> {
        let mut connection = connect(url).await;
        let mut wrong = self.wrong_scans(&mut connection).await;
        let events = names(&mut connection, "SELECT id FROM event").await;
        wrong.extend(absent("event", &self.events, &events));
        let waivers = names(&mut connection, "SELECT id FROM waiver").await;
        wrong.extend(absent("waiver", &self.waivers, &waivers));
        let clients = names(&mut connection, "SELECT id FROM authority_record WHERE kind = 'client'").await;
        wrong.extend(absent("client", &self.clients, &clients));
        wrong.extend(self.wrong_revisions(&mut connection).await);
        connection.close().await.unwrap();
        wrong
    }

    /// Each scan is there, its steps are numbered from 1 without a gap, and it began and ended once an attempt.
    async fn wrong_scans(&self, connection: &mut AnyConnection) -> Vec<String> {
        let mut wrong = Vec::new();
        let mut steps: BTreeMap<String, Vec<(i64, String)>> = BTreeMap::new();
        // The steps first: a scan that is under way may have more of them a moment later, not fewer.
        for row in
            rows(connection, "SELECT scan, sequence, state, message FROM scan_event ORDER BY scan, sequence").await
        {
            steps
                .entry(row.get(0))
                .or_default()
                .push((row.get(1), format!("{} {}", row.get::<&str, _>(2), row.get::<&str, _>(3))));
        }
        let mut scans = BTreeMap::new();
        for row in rows(connection, "SELECT id, attempt, status, digest FROM scan").await {
            scans.insert(row.get::<String, _>(0), (row.get::<i64, _>(1), row.get::<String, _>(2), row.get(3)));
        }
        for (id, steps) in &steps {
            let counted = |state: &str| steps.iter().filter(|(_, step)| step.starts_with(state)).count() as i64;
            let ends = counted("Succeeded") + counted("Failed") + counted("Cancelled");
            let in_order = steps.iter().zip(1..).all(|((sequence, _), number)| *sequence == number);
            match scans.get(id) {
                Some((attempt, ..)) if in_order && counted("Pending queued") <= *attempt && ends <= *attempt => {}
                found => wrong.push(format!("scan {id} is {found:?} with the steps {steps:?}")),
            }
        }
        for (id, digest) in &self.uploads {
            match scans.get(id) {
                Some((_, status, Some::<String>(found))) if status == "Succeeded" && found == digest => {}
                found => wrong.push(format!("upload {id} of {digest} is {found:?}")),
            }
        }
        for id in self.queued.keys().filter(|id| !scans.contains_key(*id) || !steps.contains_key(*id)) {
            wrong.push(format!("scan {id} is not there"));
        }
        for id in &self.called_off {
            if scans.get(id).is_none_or(|(_, status, _)| status != "Cancelled") {
                wrong.push(format!("scan {id} was called off and is {:?}", scans.get(id)));
            }
        }
        wrong
    }

    /// Each revision is there with its document, no document twice, one in force.
    async fn wrong_revisions(&self, connection: &mut AnyConnection) -> Vec<String> {
        let mut wrong = Vec::new();
        let (mut found, mut active) = (BTreeMap::new(), 0);
        for row in rows(connection, "SELECT number, digest, active FROM policy_rev ORDER BY number").await {
            found.insert(row.get::<i64, _>(0), row.get::<String, _>(1));
            active += row.get::<i64, _>(2);
        }
        let documents: BTreeSet<&String> = found.values().collect();
        if documents.len() != found.len() || found.keys().zip(1..).any(|(number, at)| *number != at) {
            wrong.push(format!("revisions are there twice, or numbers are left out: {found:?}"));
        }
        if active != i64::from(!found.is_empty()) {
            wrong.push(format!("{active} revisions are in force"));
        }
        for (number, digest) in self.revisions.iter().filter(|(number, digest)| found.get(*number) != Some(*digest)) {
            wrong.push(format!("revision {number} of {digest} is {:?}", found.get(number)));
        }
        wrong
    }

    /// What has not come to the end it should have, when nothing is asked for any more. With how many scans were set aside.
    pub async fn not_ended(&self, url: &str) -> (Vec<String>, usize) {
        let (mut wrong, mut set_aside) = (Vec::new(), 0);
        let mut connection = connect(url).await;
        let mut ends = BTreeMap::new();
        for row in rows(&mut connection, "SELECT id, status, coalesce(failure, '') FROM scan").await {
            ends.insert(row.get::<String, _>(0), (row.get::<String, _>(1), row.get::<String, _>(2)));
        }
        connection.close().await.unwrap();
        for (id, reference) in &self.queued {
            let Some((status, failure)) = ends.get(id) else { continue };
            let wanted = if Images::has(reference) { "Succeeded" } else { "Failed" };
            match status.as_str() {
                "Cancelled" if self.called_off.contains(id) => {}
                "Failed" if failure.starts_with("set aside") => set_aside += 1,
                status if status == wanted => {}
                status => wrong.push(format!("scan {id} of {reference} is {status}: {failure}")),
            }
        }
        (wrong, set_aside)
    }

    /// What is wrong with the audit logs in `folder`, one a replica.
    pub fn missing_in_audit(&self, folder: &Path) -> Vec<String> {
        let (mut wrong, mut text) = (Vec::new(), String::new());
        for replica in std::fs::read_dir(folder).unwrap() {
            let place = Place::new(replica.unwrap().path());
            // What is written meanwhile comes after this head.
            let head = place.kept_head();
            let files = place.files().unwrap();
            if let Err((path, broken)) = verify_files(&files, head.as_ref()) {
                wrong.push(format!("audit log {}: {broken}", path.display()));
            }
            files.iter().for_each(|file| text.push_str(&String::from_utf8_lossy(&std::fs::read(file).unwrap())));
        }
        let unknown = self.clients.iter().filter(|id| !text.contains(&format!("\"{id} is made\"")));
        wrong.extend(unknown.map(|id| format!("the audit logs do not tell of client {id}")));
        wrong
    }
}

/// Scans that have no end yet.
pub async fn open_scans(url: &str) -> usize {
    let mut connection = connect(url).await;
    let open = names(&mut connection, "SELECT id FROM scan WHERE status IN ('Pending', 'Running')").await;
    connection.close().await.unwrap();
    open.len()
}

fn absent(what: &str, wanted: &BTreeSet<String>, found: &BTreeSet<String>) -> Vec<String> {
    wanted.difference(found).map(|id| format!("{what} {id} is not there")).collect()
}
