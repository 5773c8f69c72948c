//! Generations as asynchronous streams, for any executor.
use crate::error::{Error, Result};
use crate::generation::{Generation, Piece};
use crate::sys;
use futures_core::Stream;
use std::pin::Pin;
use std::task::{Context, Poll};

impl Stream for Generation {
    type Item = Result<Piece>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Piece>>> {
        while !self.is_over {
            let Some(item) = self.sink.take_or_wake(context.waker()) else {
                // Where the engine is gone nobody would wake this task.
                // SAFETY: the engine's own number.
                let status = unsafe { sys::fsv_engine_retain(self.shared.engine.get(), std::ptr::null_mut()) };
                if status != sys::FSV_OK {
                    self.is_over = true;
                    return Poll::Ready(Some(Err(Error::new(status, "the engine was closed"))));
                }
                unsafe { sys::fsv_engine_release(self.shared.engine.get(), std::ptr::null_mut()) };
                self.shared.start_thread();
                return Poll::Pending;
            };
            if let Some(piece) = self.accept(item) {
                return Poll::Ready(Some(piece));
            }
        }
        Poll::Ready(None)
    }
}
