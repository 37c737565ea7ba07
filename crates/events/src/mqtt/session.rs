//! One connection to an MQTT broker: a task that publishes what is handed to it and gives
//! the broker's word back. It ends with the connection, and with it all that had no answer.

use std::collections::HashMap;

use std::time::Duration;

use bytes::Bytes;
use costrel_core::events::Undelivered;
use mqtt_protocol_core::mqtt::common::Cursor;
use mqtt_protocol_core::mqtt::connection::{Connection, ConnectionOptions, Event, TimerKind};
use mqtt_protocol_core::mqtt::packet::{GenericPacketTrait, Packet, Qos, v5_0};
use mqtt_protocol_core::mqtt::result_code::{ConnectReasonCode, MqttError, PubackReasonCode};
use mqtt_protocol_core::mqtt::{Version, role};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until, timeout};

use crate::{Login, whole};

/// Messages without an answer, at most; brokers may want fewer.
const IN_FLIGHT_MAX: usize = 256;
/// How long nothing is sent before the broker is asked whether it is there.
const KEEP_ALIVE_S: u16 = 15;
/// How long it may take to say so, and to take what is written.
const ANSWER_MAX: Duration = Duration::from_secs(5);
/// Nothing that a broker has to say to a publisher is longer.
const PACKET_BYTES_MAX: u32 = 64 << 10;
const READ_BYTES: usize = 4096;

pub(super) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

pub(super) struct Session {
    orders: mpsc::Sender<Order>,
}

struct Order {
    message: Bytes,
    answer: oneshot::Sender<Result<(), Undelivered>>,
}

impl Session {
    /// Returns when the broker has let the client in.
    pub async fn open(
        stream: Box<dyn Stream>,
        client: &str,
        login: Option<&Login>,
        topic: &str,
    ) -> Result<Session, Undelivered> {
        let hello = hello(client, login).map_err(|error| refused(&error))?;
        let mut line = Line::new(stream);
        let events = line.protocol.send(hello.into());
        line.act(events).await?;
        let welcome = loop {
            let packets = line.read().await?;
            if let Some(packet) = packets.into_iter().next() {
                break packet;
            }
        };
        match welcome {
            Packet::V5_0Connack(it) if it.reason_code() == ConnectReasonCode::Success => {}
            Packet::V5_0Connack(it) => {
                let why = words(&format!("{:?}", it.reason_code()));
                return Err(Undelivered(format!("the broker does not let us in: {why}")));
            }
            _ => return Err(Undelivered("the broker does not speak MQTT 5".into())),
        }
        let (orders, taken) = mpsc::channel(IN_FLIGHT_MAX);
        tokio::spawn(serve(line, taken, topic.to_owned()));
        Ok(Session { orders })
    }

    pub fn is_open(&self) -> bool {
        !self.orders.is_closed()
    }

    pub async fn send(&self, message: Bytes) -> Result<(), Undelivered> {
        let lost = || Undelivered("the connection is lost".into());
        let (answer, answered) = oneshot::channel();
        self.orders.send(Order { message, answer }).await.map_err(|_| lost())?;
        answered.await.unwrap_or_else(|_| Err(lost()))
    }
}

fn hello(client: &str, login: Option<&Login>) -> Result<v5_0::Connect, MqttError> {
    let hello =
        v5_0::Connect::builder().client_id(client)?.clean_start(true).keep_alive(KEEP_ALIVE_S);
    match login {
        Some(login) => {
            hello.user_name(login.user.as_str())?.password(login.password.as_str())?.build()
        }
        None => hello.build(),
    }
}

/// Serves until the connection ends, or nobody has the session any more.
async fn serve(mut line: Line, mut orders: mpsc::Receiver<Order>, topic: String) {
    let mut waiting = HashMap::new();
    let Err(why) = line.serve(&mut orders, &mut waiting, &topic).await else { return };
    orders.close();
    for (_, answer) in waiting {
        // Whoever gave up does not listen any more.
        let _ = answer.send(Err(why.clone()));
    }
}

type Waiting = HashMap<u16, oneshot::Sender<Result<(), Undelivered>>>;

struct Line {
    stream: Box<dyn Stream>,
    protocol: Connection<role::Client>,
    buffer: Box<[u8]>,
    ping_at: Option<Instant>,
    pong_until: Option<Instant>,
}

impl Line {
    fn new(stream: Box<dyn Stream>) -> Line {
        let mut options = ConnectionOptions::default();
        options.maximum_packet_size_recv = PACKET_BYTES_MAX;
        let mut protocol = Connection::with_options(Version::V5_0, options);
        protocol.set_pingresp_recv_timeout(ANSWER_MAX.as_millis() as u64);
        let buffer = vec![0; READ_BYTES].into_boxed_slice();
        Line { stream, protocol, buffer, ping_at: None, pong_until: None }
    }

    async fn serve(
        &mut self,
        orders: &mut mpsc::Receiver<Order>,
        waiting: &mut Waiting,
        topic: &str,
    ) -> Result<(), Undelivered> {
        loop {
            let vacancy = self.protocol.get_receive_maximum_vacancy_for_send();
            let has_room = waiting.len() < IN_FLIGHT_MAX && vacancy != Some(0);
            let packets = tokio::select! {
                order = orders.recv(), if has_room => match order {
                    Some(order) => self.publish(order, waiting, topic).await?,
                    None => return Ok(()),
                },
                read = self.stream.read(&mut self.buffer) => self.take(read).await?,
                () = when(self.ping_at) => self.fire(TimerKind::PingreqSend).await?,
                () = when(self.pong_until) => {
                    return Err(Undelivered("the broker does not answer".into()));
                }
            };
            for packet in packets {
                if let Packet::V5_0Puback(acknowledged) = packet
                    && let Some(answer) = waiting.remove(&acknowledged.packet_id())
                {
                    let _ = answer.send(verdict(acknowledged.reason_code()));
                }
            }
        }
    }

    async fn publish(
        &mut self,
        order: Order,
        waiting: &mut Waiting,
        topic: &str,
    ) -> Result<Vec<Packet>, Undelivered> {
        if order.answer.is_closed() {
            return Ok(Vec::new());
        }
        let id = self.protocol.acquire_packet_id().map_err(|error| refused(&error))?;
        let packet = v5_0::Publish::builder()
            .topic_name(topic)
            .map(|it| it.qos(Qos::AtLeastOnce).packet_id(id).payload(order.message.to_vec()))
            .and_then(|it| it.build())
            .map_err(|error| refused(&error))?;
        let events = self.protocol.send(packet.into());
        if let [Event::NotifyError(error)] = &events[..] {
            // It is the message's fault, such as that it is too long for the broker.
            self.protocol.release_packet_id(id);
            let _ = order.answer.send(Err(refused(error)));
            return Ok(Vec::new());
        }
        waiting.insert(id, order.answer);
        self.act(events).await
    }

    async fn fire(&mut self, timer: TimerKind) -> Result<Vec<Packet>, Undelivered> {
        self.ping_at = None;
        let events = self.protocol.notify_timer_fired(timer);
        self.act(events).await
    }

    async fn read(&mut self) -> Result<Vec<Packet>, Undelivered> {
        let read = self.stream.read(&mut self.buffer).await;
        self.take(read).await
    }

    /// Packets that end in what was read.
    async fn take(&mut self, read: std::io::Result<usize>) -> Result<Vec<Packet>, Undelivered> {
        let count = match read {
            Ok(0) => return Err(Undelivered("the broker has ended the connection".into())),
            Ok(count) => count,
            Err(error) => return Err(Undelivered(error.to_string())),
        };
        let bytes = self.buffer[..count].to_vec();
        let mut bytes = Cursor::new(&bytes[..]);
        let mut packets = Vec::new();
        while (bytes.position() as usize) < count {
            let events = self.protocol.recv(&mut bytes);
            packets.extend(self.act(events).await?);
        }
        Ok(packets)
    }

    /// Does what the protocol asks for, and returns what it has received.
    async fn act(&mut self, events: Vec<Event>) -> Result<Vec<Packet>, Undelivered> {
        let mut packets = Vec::new();
        for event in events {
            match event {
                Event::NotifyPacketReceived(Packet::V5_0Disconnect(end)) => {
                    let why = end.reason_code().map(|why| words(&format!("{why:?}")));
                    let why = why.unwrap_or_default();
                    return Err(Undelivered(format!("the broker has ended the connection: {why}")));
                }
                Event::NotifyPacketReceived(packet) => packets.push(packet),
                Event::RequestSendPacket { packet, .. } => self.write(&packet).await?,
                Event::RequestTimerReset { kind, duration_ms } => {
                    *self.timer(kind) = Some(Instant::now() + Duration::from_millis(duration_ms));
                }
                Event::RequestTimerCancel(kind) => *self.timer(kind) = None,
                Event::NotifyError(error) => return Err(refused(&error)),
                Event::RequestClose => return Err(Undelivered("the connection is over".into())),
                Event::NotifyPacketIdReleased(_) => {}
            }
        }
        Ok(packets)
    }

    fn timer(&mut self, kind: TimerKind) -> &mut Option<Instant> {
        match kind {
            TimerKind::PingrespRecv => &mut self.pong_until,
            // Clients have no other.
            TimerKind::PingreqSend | TimerKind::PingreqRecv => &mut self.ping_at,
        }
    }

    async fn write(&mut self, packet: &Packet) -> Result<(), Undelivered> {
        let bytes = packet.to_continuous_buffer();
        let written = timeout(ANSWER_MAX, async {
            self.stream.write_all(&bytes).await?;
            self.stream.flush().await
        });
        match written.await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(Undelivered(whole(&error))),
            Err(_) => Err(Undelivered("the broker takes nothing".into())),
        }
    }
}

async fn when(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// That nobody listens is no fault: the broker has taken the message.
fn verdict(reason: Option<PubackReasonCode>) -> Result<(), Undelivered> {
    match reason {
        None | Some(PubackReasonCode::Success | PubackReasonCode::NoMatchingSubscribers) => Ok(()),
        Some(other) => {
            let why = words(&format!("{other:?}"));
            Err(Undelivered(format!("the broker does not take it: {why}")))
        }
    }
}

fn refused(error: &MqttError) -> Undelivered {
    Undelivered(words(&format!("{error:?}")))
}

/// `NotAuthorized` as people write it.
fn words(name: &str) -> String {
    let mut text = String::with_capacity(name.len() + 8);
    for (at, letter) in name.chars().enumerate() {
        if letter.is_uppercase() && at > 0 {
            text.push(' ');
        }
        text.extend(letter.to_lowercase());
    }
    text
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::io::DuplexStream;

    use super::*;

    /// A broker on the other end: lets the client in with one code, and answers each message
    /// with what `answer` makes of its number, or ends the connection.
    async fn broker(
        mut stream: DuplexStream,
        welcome: ConnectReasonCode,
        answer: impl Fn(usize) -> Option<PubackReasonCode>,
    ) {
        let mut protocol = Connection::<role::Server>::new(Version::V5_0);
        let mut buffer = vec![0; READ_BYTES];
        let mut count = 0;
        loop {
            let Ok(read @ 1..) = stream.read(&mut buffer).await else { return };
            let mut bytes = Cursor::new(&buffer[..read]);
            while (bytes.position() as usize) < read {
                for event in protocol.recv(&mut bytes) {
                    let reply: Packet = match event {
                        Event::NotifyPacketReceived(Packet::V5_0Connect(_)) => {
                            let builder = v5_0::Connack::builder().session_present(false);
                            builder.reason_code(welcome).build().unwrap().into()
                        }
                        Event::NotifyPacketReceived(Packet::V5_0Publish(message)) => {
                            assert_eq!(
                                (message.topic_name(), message.qos()),
                                ("t", Qos::AtLeastOnce)
                            );
                            let Some(reason) = answer(count) else { return };
                            count += 1;
                            let id = message.packet_id().unwrap();
                            let builder = v5_0::Puback::builder().packet_id(id);
                            builder.reason_code(reason).build().unwrap().into()
                        }
                        _ => continue,
                    };
                    for event in protocol.send(reply) {
                        if let Event::RequestSendPacket { packet, .. } = event {
                            stream.write_all(&packet.to_continuous_buffer()).await.unwrap();
                        }
                    }
                }
            }
        }
    }

    async fn open(
        welcome: ConnectReasonCode,
        answer: impl Fn(usize) -> Option<PubackReasonCode> + Send + 'static,
    ) -> Result<Session, Undelivered> {
        let (here, there) = tokio::io::duplex(64 << 10);
        tokio::spawn(broker(there, welcome, answer));
        let login = Login { user: "u".into(), password: "p".into() };
        Session::open(Box::new(here), "c", Some(&login), "t").await
    }

    #[tokio::test]
    async fn acknowledgements_go_to_their_messages() {
        let session = open(ConnectReasonCode::Success, |number| {
            let codes = [PubackReasonCode::Success, PubackReasonCode::NotAuthorized];
            Some(codes[number % 2])
        });
        let session = Arc::new(session.await.unwrap());
        for _ in 0..3 {
            session.send(Bytes::from_static(b"{}")).await.unwrap();
            let error = session.send(Bytes::from_static(b"{}")).await.unwrap_err();
            assert_eq!(error.0, "the broker does not take it: not authorized");
        }
        let many = (0..1000).map(|_| {
            let session = session.clone();
            tokio::spawn(async move { session.send(Bytes::from_static(b"{}")).await.is_ok() })
        });
        let mut taken = 0;
        for sent in many.collect::<Vec<_>>() {
            taken += usize::from(sent.await.unwrap());
        }
        assert_eq!(taken, 500);
        assert!(session.is_open());
    }

    #[tokio::test]
    async fn a_connection_that_ends_fails_what_waits() {
        let session = open(ConnectReasonCode::Success, |number| {
            (number < 1).then_some(PubackReasonCode::NoMatchingSubscribers)
        });
        let session = session.await.unwrap();
        session.send(Bytes::from_static(b"{}")).await.unwrap();
        let error = session.send(Bytes::from_static(b"{}")).await.unwrap_err();
        assert_eq!(error.0, "the broker has ended the connection");
        assert!(!session.is_open());
        assert!(session.send(Bytes::from_static(b"{}")).await.is_err());
    }

    #[tokio::test]
    async fn who_is_not_let_in_hears_why() {
        let refused = open(ConnectReasonCode::BadUserNameOrPassword, |_| None).await;
        let error = refused.err().unwrap();
        assert_eq!(error.0, "the broker does not let us in: bad user name or password");
    }
}
