//! Engines: where models are loaded and requests run.
use crate::error::{call, Error, Result};
use crate::generation::Item;
use crate::handle::{release, Handle};
use crate::hooks::{Hooks, MemoryEvent};
use crate::model::{text_of_path, Model};
use crate::options::{EngineConfig, LoadConfig};
use crate::pump::{Shared, Sink};
use crate::sys;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Runs requests of the models loaded in it, many at once. Ends when it and all that it made are gone, or with
/// [`Engine::close`]. Clones are the same engine.
#[derive(Clone)]
pub struct Engine {
    shared: Arc<Shared>,
}

impl Engine {
    pub fn new(config: EngineConfig) -> Result<Engine> {
        Engine::with_hooks(config, Hooks::default())
    }

    /// An engine that reports to the host, or may write.
    pub fn with_hooks(mut config: EngineConfig, mut hooks: Hooks) -> Result<Engine> {
        let folder = hooks.write_folder.take();
        if let Some(folder) = &folder {
            config.write_folder = folder.as_ptr().cast();
            config.write_folder_size = folder.len();
        }
        let called = hooks.into_called(&mut config);
        let mut made = std::ptr::null_mut();
        // SAFETY: a whole config, and a place for the result.
        call(|error| unsafe { sys::fsv_engine_create(&config, &mut made, error) })?;
        let handle = Handle::new(made, release!(fsv_engine_release, sys::fsv_engine));
        Ok(Engine { shared: Arc::new(Shared::new(handle, config.mode == sys::FSV_MODE_PUMPED, called)) })
    }

    /// Ends all that runs and returns the memory. Harmless twice.
    pub fn close(&self) {
        self.shared.engine.close();
    }

    /// Loads a GGUF file or a Hugging Face folder and waits for it.
    pub fn load(&self, path: impl AsRef<Path>) -> Result<Model> {
        self.load_with(path, LoadConfig::default(), |_, _| ControlFlow::Continue(()))
    }

    /// `on_progress(bytes_done, bytes_total)` is called meanwhile; `Break` cancels the load
    /// ([`crate::ErrorKind::Cancelled`]).
    pub fn load_with(
        &self,
        path: impl AsRef<Path>,
        mut config: LoadConfig,
        mut on_progress: impl FnMut(u64, u64) -> ControlFlow<()>,
    ) -> Result<Model> {
        let path = text_of_path(path.as_ref())?;
        let sink = self.shared.open();
        config.path = path.as_ptr().cast();
        config.path_size = path.len();
        config.user_data = sink.key;
        let mut ticket = 0;
        let mut model = std::ptr::null_mut();
        // SAFETY: `path` outlives the call, which copies it.
        let loaded = call(|error| unsafe { sys::fsv_model_load(self.shared.engine.get(), &config, &mut ticket, error) })
            .and_then(|()| self.follow(&sink, ticket, &mut on_progress))
            // SAFETY: a place for the result.
            .and_then(|()| {
                call(|error| unsafe { sys::fsv_ticket_take_model(self.shared.engine.get(), ticket, &mut model, error) })
            });
        self.shared.close(&sink);
        loaded?;
        Ok(Model::new(self.shared.clone(), model))
    }

    /// Until the load has ended, however it did: taking the model tells.
    fn follow(
        &self,
        sink: &Sink,
        ticket: sys::fsv_ticket,
        on_progress: &mut impl FnMut(u64, u64) -> ControlFlow<()>,
    ) -> Result<()> {
        loop {
            let (has_ended, (done, total)) = match self.shared.next(sink, None)? {
                Item::End(end) if end.failure.is_some() => return Ok(()),
                Item::End(end) => (true, end.bytes),
                Item::Progress(done, total) => (false, (done, total)),
                Item::Piece(_) | Item::Memory(_) => continue,
            };
            if on_progress(done, total).is_break() {
                // SAFETY: numbers.
                unsafe { sys::fsv_ticket_cancel(self.shared.engine.get(), ticket, std::ptr::null_mut()) };
                return Err(Error::new(sys::FSV_ERROR_CANCELLED, "the load was cancelled"));
            }
            if has_ended {
                return Ok(());
            }
        }
    }

    pub fn pause(&self) -> Result<()> {
        // SAFETY: the engine's own number; so below.
        call(|error| unsafe { sys::fsv_engine_pause(self.shared.engine.get(), error) })
    }

    pub fn resume(&self) -> Result<()> {
        call(|error| unsafe { sys::fsv_engine_resume(self.shared.engine.get(), error) })
    }

    /// Pumped engines: works for about `grant`; whether work is left.
    pub fn step(&self, grant: Duration) -> Result<bool> {
        let mut more = 0;
        let max_us = grant.as_micros() as u64;
        call(|error| unsafe { sys::fsv_engine_step(self.shared.engine.get(), max_us, &mut more, error) })?;
        Ok(more != 0)
    }

    /// Refuses new work and lets running requests finish within `timeout` (None: however long), then cancels them.
    pub fn shutdown(&self, timeout: Option<Duration>) -> Result<()> {
        let timeout_us = timeout.map_or(u64::MAX, |timeout| timeout.as_micros() as u64);
        call(|error| unsafe { sys::fsv_engine_shutdown(self.shared.engine.get(), timeout_us, error) })
    }

    /// The latency that 95 of 100 steps are to stay within, from the next step on; zero: none.
    pub fn set_step_target(&self, target: Duration) -> Result<()> {
        let target_us = target.as_micros() as u64;
        call(|error| unsafe { sys::fsv_engine_set_step_target(self.shared.engine.get(), target_us, error) })
    }

    pub fn metrics(&self) -> Result<sys::fsv_metrics> {
        let mut metrics = sys::fsv_metrics::default();
        call(|error| unsafe { sys::fsv_metrics_snapshot(self.shared.engine.get(), &mut metrics, error) })?;
        Ok(metrics)
    }

    /// Of a living engine; 0: none. What it takes away goes within milliseconds, and changes no text.
    pub fn set_memory_budget(&self, bytes: u64) -> Result<()> {
        call(|error| unsafe { sys::fsv_memory_set_budget(self.shared.engine.get(), bytes, error) })
    }

    /// Gives memory that nobody holds back to the system, and what `flags` (`sys::FSV_TRIM_*`) name.
    pub fn trim(&self, flags: u32) -> Result<()> {
        call(|error| unsafe { sys::fsv_memory_trim(self.shared.engine.get(), flags, error) })
    }

    /// Waits for the next MEMORY event of an engine with `memory_events`, at most for `timeout` (None: however long;
    /// [`crate::ErrorKind::Timeout`]). What came while nobody waited is one event.
    pub fn next_memory_event(&self, timeout: Option<Duration>) -> Result<MemoryEvent> {
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        loop {
            if let Item::Memory(event) = self.shared.next(&self.shared.memory, deadline)? {
                return Ok(event);
            }
        }
    }

    pub fn memory_stats(&self) -> Result<sys::fsv_memory_stats> {
        let mut stats = sys::fsv_memory_stats::default();
        call(|error| unsafe { sys::fsv_memory_get_stats(self.shared.engine.get(), &mut stats, error) })?;
        Ok(stats)
    }
}
