//! How far long work is: on standard error, and only where a person looks at it.
use super::tell;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::{io::IsTerminal, time::Duration};

/// Often enough to look alive.
const TICK: Duration = Duration::from_millis(120);

/// A line that goes away when it is dropped.
pub(super) struct Progress(ProgressBar);
impl Progress {
    /// `what` was done how often.
    pub(super) fn new(what: &'static str) -> Self {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} {pos} in {elapsed}") {
            bar.set_style(style);
        }
        bar.set_message(what);
        // Where standard output goes to the same terminal the lines there say how far it is.
        if !bar.is_hidden() && !std::io::stdout().is_terminal() {
            bar.enable_steady_tick(TICK);
        }
        Self(bar)
    }
    /// While one call lasts.
    pub(super) fn waiting(what: String) -> Self {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} {elapsed}") {
            bar.set_style(style);
        }
        bar.set_message(what);
        if !bar.is_hidden() {
            bar.enable_steady_tick(TICK);
        }
        Self(bar)
    }
    pub(super) fn at(&self, number: u64) {
        self.0.set_position(number);
    }
    /// Prose beside it.
    pub(super) fn tell(&self, text: &str) {
        self.0.suspend(|| tell(text));
    }
}
impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
