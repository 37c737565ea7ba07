//! Answers: elements that hold texts, others, or lists of members.

use bytes::Bytes;
use http::StatusCode;

use super::{Action, AwsFailure};
use crate::xml::XmlWriter;

pub(super) type Fields = Vec<(&'static str, Node)>;

pub(super) enum Node {
    Text(String),
    Fields(Fields),
    /// Each in an element `member`.
    List(Vec<Node>),
}

impl From<&str> for Node {
    fn from(text: &str) -> Node {
        Node::Text(text.to_owned())
    }
}

impl From<String> for Node {
    fn from(text: String) -> Node {
        Node::Text(text)
    }
}

impl From<Fields> for Node {
    fn from(fields: Fields) -> Node {
        Node::Fields(fields)
    }
}

fn write(xml: &mut XmlWriter, fields: &[(&'static str, Node)]) {
    for (name, node) in fields {
        write_node(xml, name, node);
    }
}

fn write_node(xml: &mut XmlWriter, name: &'static str, node: &Node) {
    match node {
        Node::Text(text) => xml.text(name, text),
        Node::Fields(fields) => xml.element(name, |xml| write(xml, fields)),
        Node::List(list) => xml.element(name, |xml| {
            list.iter().for_each(|node| write_node(xml, "member", node));
        }),
    }
}

pub(super) fn answer(
    namespace: &'static str,
    action: &Action,
    fields: Option<&[(&'static str, Node)]>,
    request_id: &str,
) -> Bytes {
    let mut xml = XmlWriter::new(1024);
    xml.root(action.response, Some(namespace), |xml| {
        if let Some(fields) = fields {
            xml.element(action.result, |xml| write(xml, fields));
        }
        xml.element("ResponseMetadata", |xml| xml.text("RequestId", request_id));
    });
    xml.finish()
}

pub(super) fn failure(
    namespace: &'static str,
    status: StatusCode,
    code: &str,
    failure: &AwsFailure,
    request_id: &str,
) -> Bytes {
    let mut xml = XmlWriter::new(512);
    xml.root("ErrorResponse", Some(namespace), |xml| {
        xml.element("Error", |xml| {
            let whose = if status.is_server_error() { "Receiver" } else { "Sender" };
            xml.text("Type", whose);
            xml.text("Code", code);
            xml.text("Message", &failure.message());
        });
        xml.text("RequestId", request_id);
    });
    xml.finish()
}
