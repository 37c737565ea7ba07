//! Writing a blob, a piece at a time.

use std::collections::VecDeque;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use costrel_core::engine::{BlobId, BlobWriter, EngineError};
use tokio::task::JoinHandle;

use super::format::{FINISHED, PIECE_BYTES, SUMS, encode_finished, encode_sums, piece_name};
use super::under_way::Tracker;
use crate::ffi::Errno;
use crate::remote::Remote;
use crate::status::add;

/// librados copies what it is given: from here on a worker should not wait.
const BLOCKING_BYTES: usize = 64 << 10;

pub(super) struct Writer {
    data: Arc<Remote>,
    tracker: Arc<Tracker>,
    id: BlobId,
    buffer: Vec<u8>,
    /// Bytes in the pieces that were sent.
    bytes: u64,
    /// Pieces on their way. They go on when the writer is dropped.
    under_way: VecDeque<JoinHandle<Result<(), EngineError>>>,
}

impl Writer {
    pub(super) fn new(
        data: Arc<Remote>,
        tracker: Arc<Tracker>,
        id: BlobId,
        expected_len: Option<u64>,
    ) -> Self {
        let expected = expected_len.map_or(0, |len| len.min(PIECE_BYTES as u64) as usize);
        Writer {
            data,
            tracker,
            id,
            buffer: Vec::with_capacity(expected),
            bytes: 0,
            under_way: VecDeque::new(),
        }
    }

    /// Sends the buffer as the next piece. `finished` is the blob's length when
    /// this is the only piece.
    async fn send(&mut self, finished: Option<u64>) -> Result<(), EngineError> {
        while self.under_way.front().is_some_and(JoinHandle::is_finished) {
            self.wait_first().await?;
        }
        let deleted = |_| EngineError::NotFound(self.id);
        let place = self.tracker.pieces.clone().acquire_owned().await.map_err(deleted)?;
        let permit = self.data.permit(self.buffer.len()).await;
        let (piece, id) = (self.tracker.send(), self.id);
        let buffer = std::mem::take(&mut self.buffer);
        self.bytes += buffer.len() as u64;
        let (data, tracker) = (self.data.clone(), self.tracker.clone());
        self.under_way.push_back(tokio::spawn(async move {
            let len = buffer.len();
            let submit = {
                let data = data.clone();
                move || {
                    let mut op = data.write_op();
                    op.create_exclusive();
                    op.write_full(&buffer);
                    op.set_xattr(SUMS, &encode_sums(id, piece, &buffer));
                    if let Some(len) = finished {
                        op.set_xattr(FINISHED, &encode_finished(len));
                    }
                    op.submit(data.pool(), &piece_name(id, piece), permit)
                }
            };
            let sent = match len >= BLOCKING_BYTES {
                true => tokio::task::spawn_blocking(submit).await.unwrap_or(Err(Errno::TIMEDOUT)),
                false => submit(),
            };
            let code = match sent {
                Ok(answer) => answer.await.map_or(Err(Errno::TIMEDOUT), |written| written.code),
                Err(errno) => Err(errno),
            };
            drop((place, tracker));
            let status = data.status();
            status.heard(code.map(|_| ()));
            match code {
                Ok(_) => {
                    status.note_space();
                    add(&status.counters.blob_bytes_written, len as u64);
                    Ok(())
                }
                Err(errno) => Err(data.error("writing a blob", errno)),
            }
        }));
        Ok(())
    }

    async fn wait_first(&mut self) -> Result<(), EngineError> {
        match self.under_way.pop_front() {
            Some(piece) => piece.await.unwrap_or_else(|error| {
                Err(EngineError::io("writing a blob", std::io::Error::other(error)))
            }),
            None => Ok(()),
        }
    }
}

#[async_trait]
impl BlobWriter for Writer {
    async fn write(&mut self, mut data: Bytes) -> Result<(), EngineError> {
        self.data.status().check_open()?;
        while !data.is_empty() {
            let piece = data.split_to(data.len().min(PIECE_BYTES - self.buffer.len()));
            self.buffer.extend_from_slice(&piece);
            // A full piece waits for more: it may be the only one.
            if self.buffer.len() == PIECE_BYTES && !data.is_empty() {
                self.send(None).await?;
            }
        }
        if self.buffer.len() == PIECE_BYTES && self.tracker.sent() > 0 {
            self.send(None).await?;
        }
        Ok(())
    }

    async fn finish(mut self: Box<Self>) -> Result<(), EngineError> {
        let len = self.bytes + self.buffer.len() as u64;
        let only = self.tracker.sent() == 0;
        if only || !self.buffer.is_empty() {
            self.send(only.then_some(len)).await?;
        }
        while !self.under_way.is_empty() {
            self.wait_first().await?;
        }
        if only {
            self.tracker.finish();
            return Ok(());
        }
        // Every piece is stable: only now may anybody take it for a whole blob.
        let mut op = self.data.write_op();
        op.assert_exists();
        op.set_xattr(FINISHED, &encode_finished(len));
        match self.data.apply(&piece_name(self.id, 0), op).await {
            Ok(()) => {
                self.tracker.finish();
                Ok(())
            }
            Err(Errno::NOENT) => Err(EngineError::NotFound(self.id)),
            Err(errno) => Err(self.data.error("finishing a blob", errno)),
        }
    }
}
