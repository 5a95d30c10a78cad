//! `GET /admin/v1/overview`: the nodes, and how each is.

use axum::http::HeaderMap;
use serde::Serialize;

use crate::adapter::NodeInfo;
use crate::adapter::inspect::{Finding, Inquiry, Inspected, NodeStatus};
use crate::config::Scope;
use crate::message::NodeTag;

use super::AdminState;
use super::ask::{Answers, Reach};

#[derive(Serialize)]
pub(super) struct Overview {
    reach: Reach,
    /// Of this deployment, by their tags.
    nodes: Vec<OneNode>,
    namespaces: Vec<OneNamespace>,
    /// What the caller may do by the publish API.
    may: Rights,
}

#[derive(Serialize)]
struct OneNode {
    node: NodeTag,
    /// Where its internal listener is reached.
    address: Option<String>,
    /// It answers this request.
    this: bool,
    draining: bool,
    /// Absent of a node that did not answer.
    status: Option<Box<NodeStatus>>,
}

#[derive(Serialize)]
struct OneNamespace {
    name: String,
    recovery: bool,
}

#[derive(Serialize)]
struct Rights {
    publish: bool,
    manage: bool,
}

pub(super) async fn overview(state: &AdminState, headers: &HeaderMap) -> Overview {
    let Answers { found, reach } = state.ask(Inquiry::Status).await;
    let may = |scope| state.keys.authorize(headers, scope).is_ok();
    Overview {
        reach,
        nodes: nodes(state.fleet.nodes(), found),
        namespaces: state
            .namespaces
            .iter()
            .map(|it| OneNamespace { name: it.name.to_string(), recovery: it.recovery })
            .collect(),
        may: Rights { publish: may(Scope::Publish), manage: may(Scope::Manage) },
    }
}

/// Every node that is known, and every one that answered.
fn nodes(known: Vec<NodeInfo>, found: Vec<Inspected>) -> Vec<OneNode> {
    let known = known.into_iter().map(|it| OneNode {
        node: it.tag,
        address: (!it.address.is_empty()).then_some(it.address),
        this: it.this,
        draining: it.load.is_some_and(|load| load.draining),
        status: None,
    });
    let mut nodes: Vec<OneNode> = known.collect();
    for Inspected { node, finding } in found {
        let Finding::Status(status) = finding else { continue };
        match nodes.iter_mut().find(|it| it.node == node) {
            Some(known) => known.status = Some(status),
            None => nodes.push(OneNode { node, address: None, this: false, draining: false, status: Some(status) }),
        }
    }
    nodes.sort_by_key(|it| it.node);
    nodes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_known_and_who_answered_are_one_list() {
        let tag = |text: &str| NodeTag::parse(text).unwrap();
        let known = |text, this| NodeInfo { tag: tag(text), address: format!("{text}:1"), load: None, this };
        let found = |text, sockets| Inspected {
            node: tag(text),
            finding: Finding::Status(Box::new(NodeStatus { sockets, ..NodeStatus::default() })),
        };
        let nodes = nodes(vec![known("bbb", true), known("ccc", false)], vec![found("aaa", 1), found("bbb", 2)]);
        let shown: Vec<_> = nodes
            .iter()
            .map(|it| (it.node.as_str(), it.address.as_deref(), it.this, it.status.as_ref().map(|it| it.sockets)))
            .collect();
        let expected =
            [("aaa", None, false, Some(1)), ("bbb", Some("bbb:1"), true, Some(2)), ("ccc", Some("ccc:1"), false, None)];
        assert_eq!(shown, expected);
    }
}
