//! Asking a policy, within its limits.
//!
//! The machine checks its limits between instructions. What a single instruction may cost (comparing two large values, for
//! one) is bounded by a thread that is waited for only so long.

use std::num::{NonZeroU32, NonZeroU64};
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Instant;

use regorus::rvm::vm::{ExecutionMode, ExecutionState, RegoVM, SuspendReason, VmError};
use regorus::utils::limits::ExecutionTimerConfig;
use regorus::{Engine, MemoryBudgetConfig, Value};

use super::answer::{self, ImageAnswer, VerdictAnswer};
use super::guard::{Caller, Refused, weight};
use super::limits::RegoLimits;
use super::{Module, REGO_IMAGE, REGO_VERDICT, RegoError};

/// Enough for values as deep as a policy can make them within its limits.
pub(super) const STACK_BYTES: usize = 32 << 20;

impl Module {
    /// What the policy says of each of `documents` ([`super::finding_document`]); nothing where `verdict` is undefined.
    ///
    /// # Errors
    /// When a limit is passed, evaluation fails, or an answer means nothing.
    pub fn verdicts(&self, documents: Vec<serde_json::Value>) -> Result<Vec<Option<VerdictAnswer>>, RegoError> {
        if !self.has_verdict() {
            return Ok(vec![None; documents.len()]);
        }
        self.ask(REGO_VERDICT, documents, answer::verdict)
    }

    /// What the policy says of the image of `document` ([`super::image_document`]); nothing where `image` is undefined.
    ///
    /// # Errors
    /// As [`Module::verdicts`].
    pub fn image(&self, document: serde_json::Value) -> Result<Option<ImageAnswer>, RegoError> {
        if !self.has_image() {
            return Ok(None);
        }
        Ok(self.ask(REGO_IMAGE, vec![document], answer::image)?.pop().flatten())
    }

    /// What `verdict` is for each of `documents`, as JSON and whatever it means: for tests of policies.
    ///
    /// # Errors
    /// When a limit is passed or evaluation fails.
    pub fn values(&self, documents: Vec<serde_json::Value>) -> Result<Vec<Option<serde_json::Value>>, RegoError> {
        if !self.has_verdict() {
            return Ok(vec![None; documents.len()]);
        }
        self.ask(REGO_VERDICT, documents, answer::value)
    }

    fn ask<T: Send + 'static>(
        &self,
        entrypoint: &'static str,
        documents: Vec<serde_json::Value>,
        read: fn(&Value, usize) -> Result<T, RegoError>,
    ) -> Result<Vec<T>, RegoError> {
        let limits = self.inner.limits.clone();
        let late = RegoError::Time { entrypoint, millis: limits.total_time.as_millis() };
        if self.is_stuck() {
            return Err(late);
        }
        // The last question may begin just before the end, and is put twice.
        let patience = limits.total_time + limits.time * 3;
        let (program, engine) = (Arc::clone(&self.inner.program), self.inner.engine.clone());
        let (sender, receiver) = channel();
        let work = move || {
            let _ = sender.send(answers(program, engine, entrypoint, documents, &limits, read));
        };
        let failed = |message: &str| RegoError::Failed { entrypoint, message: message.to_owned() };
        std::thread::Builder::new()
            .name("rego".to_owned())
            .stack_size(STACK_BYTES)
            .spawn(work)
            .map_err(|error| failed(&error.to_string()))?;
        receiver.recv_timeout(patience).unwrap_or_else(|error| match error {
            RecvTimeoutError::Timeout => {
                self.give_up();
                Err(late)
            }
            RecvTimeoutError::Disconnected => Err(failed("the machine broke")),
        })
    }
}

fn answers<T>(
    program: Arc<regorus::rvm::program::Program>,
    mut engine: Engine,
    entrypoint: &'static str,
    documents: Vec<serde_json::Value>,
    limits: &RegoLimits,
    read: fn(&Value, usize) -> Result<T, RegoError>,
) -> Result<Vec<T>, RegoError> {
    let end = Instant::now() + limits.total_time;
    let caller = Caller::new().ok_or(RegoError::Failed { entrypoint, message: "no machine".to_owned() })?;
    let mut vm = RegoVM::new();
    vm.load_program(program);
    vm.set_max_instructions(limits.instructions);
    vm.set_execution_mode(ExecutionMode::Suspendable);
    vm.set_memory_budget_config(NonZeroU64::new(limits.memory_bytes).map(|limit| MemoryBudgetConfig { limit }));
    let check_interval = NonZeroU32::new(256).unwrap_or(NonZeroU32::MIN);
    vm.set_execution_timer_config(Some(ExecutionTimerConfig { limit: limits.time, check_interval }));
    engine.set_execution_timer_config(ExecutionTimerConfig { limit: limits.time, check_interval });
    let mut answers = Vec::with_capacity(documents.len());
    for document in documents {
        if Instant::now() > end {
            return Err(RegoError::Time { entrypoint, millis: limits.total_time.as_millis() });
        }
        let input = Value::from(document);
        vm.set_input(input.clone());
        let measured = evaluate(&mut vm, entrypoint, &caller, limits)?;
        if weight(&measured, limits.output_bytes).is_none() {
            return Err(RegoError::Output { entrypoint, limit: limits.output_bytes });
        }
        engine.set_input(input);
        let value = confirmed(&mut engine, entrypoint, &measured)?;
        answers.push(read(&value, limits.output_bytes)?);
    }
    Ok(answers)
}

/// The answer of the interpreter. The machine counts instructions and bytes, but takes rules that disagree for undefined ones;
/// the interpreter counts nothing, and is only asked what the machine has come through. Where the two differ there is no answer.
fn confirmed(engine: &mut Engine, entrypoint: &'static str, measured: &Value) -> Result<Value, RegoError> {
    let failed = |message: String| RegoError::Failed { entrypoint, message: message.chars().take(300).collect() };
    let value = engine.eval_rule(entrypoint.to_owned()).map_err(|error| failed(error.to_string()))?;
    if value == *measured { Ok(value) } else { Err(failed("two ways of evaluating it disagree".to_owned())) }
}

/// One question: the machine stops at each guarded function and goes on with its answer.
fn evaluate(
    vm: &mut RegoVM,
    entrypoint: &'static str,
    caller: &Caller,
    limits: &RegoLimits,
) -> Result<Value, RegoError> {
    let most = usize::try_from(limits.memory_bytes).unwrap_or(usize::MAX);
    let mut room = most;
    let mut value = vm.execute_entry_point_by_name(entrypoint).map_err(|error| told(error, entrypoint, limits))?;
    loop {
        let (name, arguments) = match vm.execution_state() {
            ExecutionState::Suspended { reason: SuspendReason::HostAwait { argument, identifier, .. }, .. } => {
                (identifier.clone(), argument.clone())
            }
            _ => return Ok(value),
        };
        let failed = |message: String| RegoError::Failed { entrypoint, message };
        let (Value::String(name), Value::Array(arguments)) = (&name, &arguments) else {
            return Err(failed("a call without a name".to_owned()));
        };
        let arguments: Vec<Value> = arguments.iter().cloned().collect();
        let (answer, size) = caller.call(name, &arguments, room).map_err(|refused| match refused {
            Refused::Size => RegoError::Memory { entrypoint, limit: most },
            Refused::Unknown => failed(format!("{name} is unknown")),
        })?;
        room = room.saturating_sub(size);
        value = vm.resume(Some(answer)).map_err(|error| told(error, entrypoint, limits))?;
    }
}

fn told(error: VmError, entrypoint: &'static str, limits: &RegoLimits) -> RegoError {
    let most = usize::try_from(limits.memory_bytes).unwrap_or(usize::MAX);
    match error {
        VmError::InstructionLimitExceeded { .. } => RegoError::Instructions { entrypoint, limit: limits.instructions },
        VmError::TimeLimitExceeded { .. } => RegoError::Time { entrypoint, millis: limits.time.as_millis() },
        VmError::MemoryLimitExceeded { .. } | VmError::MemoryBudgetExceeded { .. } => {
            RegoError::Memory { entrypoint, limit: most }
        }
        other => RegoError::Failed { entrypoint, message: other.to_string().chars().take(300).collect() },
    }
}
