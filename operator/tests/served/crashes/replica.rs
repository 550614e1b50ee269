//! An operator that is started again when it is killed.

use std::path::{Path, PathBuf};

use crate::running::Operator;

/// One operator after the other, with the same name, data and flags.
pub struct Replica {
    data: PathBuf,
    flags: Vec<String>,
    /// Absent only between two of them.
    operator: Option<Operator>,
}

impl Replica {
    pub fn start(name: &str, data: &Path, flags: &[String]) -> Self {
        let mut flags = flags.to_vec();
        flags.extend(["--instance".to_owned(), name.to_owned()]);
        let mut replica = Self { data: data.to_owned(), flags, operator: None };
        replica.kill();
        replica
    }

    /// Kills the one that runs, if any, and starts the next.
    pub fn kill(&mut self) {
        if let Some(operator) = self.operator.take() {
            operator.kill();
        }
        let flags: Vec<&str> = self.flags.iter().map(String::as_str).collect();
        self.operator = Some(Operator::start(&self.data, &flags));
    }

    /// Where it listens.
    pub fn url(&self) -> String {
        self.operator.as_ref().expect("it runs").url.clone()
    }

    /// Fails when the operator has ended by itself.
    pub fn must_run(&mut self) {
        let operator = self.operator.as_mut().expect("it was started");
        assert!(operator.runs(), "it has ended: {}", operator.log());
    }
}
