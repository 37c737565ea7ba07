use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use bytes::Bytes;
use costrel_core::object::ObjectReader;
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use http_body::{Body, Frame, SizeHint};

use super::late::{self, Late, Progress};
use super::speed::{Pacer, Speed};
use crate::dialect::Dialect;
use crate::error::{self, Failure};
use crate::logline::Entry;
use crate::observe::{Observer, RequestRecord};
use crate::traffic::Traffic;

type Piece = (Box<ObjectReader>, costrel_core::Result<Option<Bytes>>);

/// An answer's body.
pub struct ResponseBody {
    content: Content,
    /// Keeps it slow, if the client asks for that.
    paced: Option<Box<Paced>>,
    done: Option<Box<Done>>,
}

struct Paced {
    pacer: Pacer,
    /// Taken from the content and not sent yet.
    rest: Bytes,
}

enum Content {
    Memory(Bytes),
    Object {
        length: u64,
        reading: Reading,
    },
    Late {
        late: Late,
        /// Given before the body is sent.
        shape: Option<Box<ErrorShape>>,
    },
    Pieces(BoxStream<'static, costrel_core::Result<Bytes>>),
    /// The answer to a HEAD: no bytes, but the length of what a GET would send.
    Headers,
}

enum Reading {
    Idle(Box<ObjectReader>),
    Busy(BoxFuture<'static, Piece>),
    Over,
}

/// What an error document needs beside the error.
pub struct ErrorShape {
    pub dialect: Dialect,
    pub resource: String,
    pub request_id: String,
    pub second_id: String,
    pub now_ms: u64,
}

/// Tells the observer when the body is sent or dropped.
pub struct Done {
    pub observer: Arc<dyn Observer>,
    pub record: RequestRecord,
    pub begun: Instant,
    /// Of a request of a logged bucket.
    pub(crate) entry: Option<Box<Entry>>,
    /// Of a request of a bucket that is there.
    pub(crate) traffic: Option<Traffic>,
}

impl Drop for Done {
    fn drop(&mut self) {
        self.record.duration = self.begun.elapsed();
        self.observer.request_done(&self.record);
        if let Some(traffic) = &self.traffic {
            traffic.count(&self.record);
        }
        if let Some(entry) = &self.entry {
            entry.write(&self.record);
        }
    }
}

impl ResponseBody {
    pub fn empty() -> ResponseBody {
        ResponseBody::memory(Bytes::new())
    }

    pub fn memory(bytes: Bytes) -> ResponseBody {
        ResponseBody { content: Content::Memory(bytes), paced: None, done: None }
    }

    pub fn headers_only() -> ResponseBody {
        ResponseBody { content: Content::Headers, paced: None, done: None }
    }

    /// Its first piece is read here: that it cannot be can still be told by a status.
    pub async fn object(mut reader: ObjectReader) -> costrel_core::Result<ResponseBody> {
        let length = reader.remaining();
        let content = match reader.take_memory() {
            Some(bytes) => Content::Memory(bytes),
            None => {
                let first = reader.next_piece().await?;
                let read: Piece = (Box::new(reader), Ok(first));
                let reading = Reading::Busy(Box::pin(std::future::ready(read)));
                Content::Object { length, reading }
            }
        };
        Ok(ResponseBody { content, paced: None, done: None })
    }

    /// Sent as they come, without a length.
    pub fn pieces(pieces: BoxStream<'static, costrel_core::Result<Bytes>>) -> ResponseBody {
        ResponseBody { content: Content::Pieces(pieces), paced: None, done: None }
    }

    pub fn late(late: Late) -> ResponseBody {
        ResponseBody { content: Content::Late { late, shape: None }, paced: None, done: None }
    }

    /// How a failure is to be told that comes after the answer has begun.
    pub fn shape_late_errors(&mut self, make: impl FnOnce() -> ErrorShape) {
        if let Content::Late { shape, .. } = &mut self.content {
            *shape = Some(Box::new(make()));
        }
    }

    pub fn observed(mut self, done: Done) -> ResponseBody {
        self.done = Some(Box::new(done));
        self
    }

    /// Sends it no faster than at this speed, if there is one.
    pub fn slow_to(&mut self, speed: Option<Speed>) {
        let paced = |speed| Box::new(Paced { pacer: Pacer::new(speed), rest: Bytes::new() });
        self.paced = speed.map(paced);
    }

    /// Bytes that were taken from the content and wait for their time.
    fn unsent(&self) -> u64 {
        self.paced.as_ref().map_or(0, |paced| paced.rest.len() as u64)
    }

    /// The content's next bytes.
    fn poll_content(&mut self, cx: &mut Context<'_>) -> Poll<Option<costrel_core::Result<Bytes>>> {
        match &mut self.content {
            Content::Headers => Poll::Ready(None),
            Content::Memory(bytes) => {
                let bytes = std::mem::take(bytes);
                if bytes.is_empty() {
                    return Poll::Ready(None);
                }
                Poll::Ready(Some(Ok(bytes)))
            }
            Content::Pieces(pieces) => {
                let piece = match pieces.poll_next_unpin(cx) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(None) => return Poll::Ready(None),
                    Poll::Ready(Some(piece)) => piece,
                };
                // As with an object.
                if let Err(error) = &piece {
                    tracing::error!(%error, "a list could not be read to its end");
                    if let Some(done) = &mut self.done {
                        done.record.failure = Some(error.to_string());
                    }
                }
                Poll::Ready(Some(piece))
            }
            Content::Late { late, shape } => {
                let Poll::Ready(progress) = late.poll(cx) else {
                    return Poll::Pending;
                };
                let bytes = match progress {
                    Progress::Over => return Poll::Ready(None),
                    Progress::Piece(bytes) | Progress::Done(Ok(bytes)) => bytes,
                    Progress::Done(Err(error)) => {
                        let Some(shape) = shape.take() else {
                            return Poll::Ready(Some(Err(error)));
                        };
                        let failure = Failure::from(error);
                        let described = error::describe(&failure, shape.dialect, shape.now_ms);
                        if let Some(done) = &mut self.done {
                            done.record.code = Some(described.code.of(shape.dialect));
                            done.record.failure = Some(failure.to_string());
                            done.record.message = Some(described.message.clone());
                        }
                        let document = error::document(
                            &described,
                            shape.dialect,
                            &shape.resource,
                            &shape.request_id,
                            &shape.second_id,
                        );
                        late::undeclared(&document)
                    }
                };
                Poll::Ready(Some(Ok(bytes)))
            }
            Content::Object { length, reading } => {
                let mut future: BoxFuture<'static, Piece> =
                    match std::mem::replace(reading, Reading::Over) {
                        Reading::Idle(reader) => Box::pin(next_piece(reader)),
                        Reading::Busy(future) => future,
                        Reading::Over => return Poll::Ready(None),
                    };
                let Poll::Ready((reader, piece)) = future.as_mut().poll(cx) else {
                    *reading = Reading::Busy(future);
                    return Poll::Pending;
                };
                match piece {
                    Ok(Some(bytes)) => {
                        *length -= (bytes.len() as u64).min(*length);
                        *reading = Reading::Idle(reader);
                        Poll::Ready(Some(Ok(bytes)))
                    }
                    Ok(None) => {
                        *reading = Reading::Over;
                        Poll::Ready(None)
                    }
                    Err(error) => {
                        *reading = Reading::Over;
                        // The head is sent; all that is left is to break off, so
                        // that nobody takes the rest for complete.
                        tracing::error!(%error, "an object's body could not be read to its end");
                        if let Some(done) = &mut self.done {
                            done.record.failure = Some(error.to_string());
                        }
                        Poll::Ready(Some(Err(error)))
                    }
                }
            }
        }
    }

    /// The same, when it is their time.
    fn poll_paced(
        &mut self,
        paced: &mut Paced,
        cx: &mut Context<'_>,
    ) -> Poll<Option<costrel_core::Result<Bytes>>> {
        ready!(paced.pacer.poll(cx));
        if paced.rest.is_empty() {
            match ready!(self.poll_content(cx)) {
                Some(Ok(bytes)) => paced.rest = bytes,
                over => return Poll::Ready(over),
            }
        }
        let piece = paced.rest.split_to(paced.rest.len().min(paced.pacer.piece_max()));
        paced.pacer.pass(piece.len());
        Poll::Ready(Some(Ok(piece)))
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = costrel_core::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = &mut *self;
        let polled = match this.paced.take() {
            None => this.poll_content(cx),
            Some(mut paced) => {
                let polled = this.poll_paced(&mut paced, cx);
                this.paced = Some(paced);
                polled
            }
        };
        if let (Poll::Ready(Some(Ok(bytes))), Some(done)) = (&polled, &mut this.done) {
            done.record.bytes_out += bytes.len() as u64;
        }
        polled.map(|next| next.map(|bytes| bytes.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        if self.unsent() > 0 {
            return false;
        }
        match &self.content {
            Content::Headers => true,
            Content::Pieces(_) => false,
            Content::Late { late, .. } => late.is_over(),
            Content::Memory(bytes) => bytes.is_empty(),
            Content::Object { length, .. } => *length == 0,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            // A HEAD's answer carries its own Content-Length.
            Content::Headers | Content::Late { .. } | Content::Pieces(_) => SizeHint::default(),
            Content::Memory(bytes) => SizeHint::with_exact(self.unsent() + bytes.len() as u64),
            Content::Object { length, .. } => SizeHint::with_exact(self.unsent() + length),
        }
    }
}

async fn next_piece(mut reader: Box<ObjectReader>) -> Piece {
    let piece = reader.next_piece().await;
    (reader, piece)
}
