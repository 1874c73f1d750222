//! `tidegate status` and `tidegate reload`: how a node is, and its files read again.
use super::{
    OK, Output,
    apply::report,
    failure::{Failure, text},
    node::{Ask, Node, Remote},
    say, show,
    table::{pairs, table},
    tell,
};
use http::Method;
use serde_json::Value;

#[derive(clap::Args)]
pub(super) struct Status {
    #[command(flatten)]
    pub(super) remote: Remote,
}
#[derive(clap::Args)]
pub(super) struct Reload {
    #[command(flatten)]
    pub(super) remote: Remote,
}
impl Status {
    pub(super) async fn run(&self) -> Result<u8, Failure> {
        let node = Node::new(&self.remote)?;
        let status = node.get("/api/v1/status").await?;
        if self.remote.output != Output::Table {
            show(&status, self.remote.output);
            return Ok(OK);
        }
        let part = |name: &str| match &status[name] {
            Value::String(text) => text.clone(),
            Value::Null => String::new(),
            other => other.to_string(),
        };
        let mut rows = vec![("node", node.address.clone())];
        if let Some(name) = text(&status, "name") {
            rows.push(("name", name));
        }
        rows.push(("version", part("version")));
        rows.push(("ready", ready(&status).map_or("yes".to_owned(), |why| format!("no: {why}"))));
        rows.extend(["since", "revision", "streams", "apis"].map(|name| (name, part(name))));
        let reload = &status["last_reload"];
        if let Some(at) = text(reload, "at") {
            let failed = text(reload, "error").map_or(String::new(), |error| format!(", failed: {error}"));
            rows.push(("last reload", format!("{at}{failed}")));
        }
        let orphans = names(&status["orphans"]);
        if !orphans.is_empty() {
            rows.push(("undeclared", format!("streams {orphans}")));
        }
        let restart = names(&status["restart_needed"]);
        if !restart.is_empty() {
            rows.push(("needs restart", format!("for {restart}")));
        }
        say(&pairs(&rows));
        let listeners: Vec<_> = status["listeners"].as_array().into_iter().flatten().map(listener).collect();
        if !listeners.is_empty() {
            say(&format!("\n{}", table(&["LISTENER", "ADDRESS", "TLS"], &listeners)));
        }
        let connections: Vec<_> = status["connections"].as_array().into_iter().flatten().map(connection).collect();
        if !connections.is_empty() {
            let head = ["CONNECTION", "STATE", "SINCE", "NEXT", "WAITING", "WHY"];
            say(&format!("\n{}", table(&head, &connections)));
        }
        let problems: Vec<_> = problems(&status).map(|(what, why)| vec![what, why]).collect();
        if !problems.is_empty() {
            say(&format!("\n{}", table(&["NOT SERVED", "WHY"], &problems)));
        }
        Ok(OK)
    }
}
impl Reload {
    pub(super) async fn run(&self) -> Result<u8, Failure> {
        let node = Node::new(&self.remote)?;
        let answer = match node.checked("/api/v1/reload", Ask::bare(Method::POST)).await? {
            Ok(answer) => answer,
            Err(problem) => return Err(wrong(&problem)),
        };
        if self.remote.output != Output::Table {
            show(&answer, self.remote.output);
            return Ok(OK);
        }
        let mut any = false;
        for change in answer["applied"].as_array().into_iter().flatten() {
            let [what, kind, name] = ["change", "kind", "name"].map(|member| text(change, member).unwrap_or_default());
            if what != "unchanged" {
                say(&format!("{what} {kind} {name}\n"));
                any = true;
            }
        }
        let restart = names(&answer["restart_needed"]);
        if !restart.is_empty() {
            tell(&format!("a restart is needed for {restart}\n"));
        } else if !any {
            tell("nothing to change\n");
        }
        Ok(OK)
    }
}
/// Why it is not.
pub(super) fn ready(status: &Value) -> Option<String> {
    match &status["ready"] {
        Value::Bool(true) => None,
        Value::String(why) => Some(why.clone()),
        _ => Some("it does not say why".to_owned()),
    }
}
/// Which resources are not served, and why.
pub(super) fn problems(status: &Value) -> impl Iterator<Item = (String, String)> {
    status["problems"].as_array().into_iter().flatten().map(|problem| {
        let [kind, name, why] = ["kind", "name", "detail"].map(|member| text(problem, member).unwrap_or_default());
        (format!("{kind} {name}"), why)
    })
}
/// Several words with commas.
pub(super) fn names(list: &Value) -> String {
    let names: Vec<_> = list.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    names.join(", ")
}
fn listener(listener: &Value) -> Vec<String> {
    let tls = match text(&listener["tls"], "not_after") {
        Some(until) if listener["tls"]["stale"] == true => format!("until {until}; the files hold what cannot be used"),
        Some(until) => format!("until {until}"),
        None if listener["tls"].is_null() => "no".to_owned(),
        None => "yes".to_owned(),
    };
    let address = match &listener["address"] {
        Value::Array(_) => names(&listener["address"]),
        _ => text(listener, "address").unwrap_or_default(),
    };
    vec![text(listener, "name").unwrap_or_default(), address, tls]
}
/// A webhook or an endpoint, how it does, and why.
fn connection(of: &Value) -> Vec<String> {
    let part = |member: &str| text(of, member).unwrap_or_default();
    let why = text(of, "error").or_else(|| text(of, "reason")).unwrap_or_default();
    let waiting = of["lag"]["messages"]
        .as_u64()
        .map_or(String::new(), |messages| messages.to_string());
    let name = format!("{} {}", part("kind"), part("name"));
    vec![name, part("state"), part("since"), part("next_attempt"), waiting, why]
}
/// Errors in the node's files, at their places there.
fn wrong(problem: &Value) -> Failure {
    let errors: Vec<_> = problem["errors"].as_array().into_iter().flatten().collect();
    if errors.is_empty() {
        return Failure::problem(problem);
    }
    report(&errors).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_wrong_in_files_of_the_node_has_its_place_there() {
        let problem = json!({"status": 422, "code": "TG5003", "detail": "1 error", "errors": [
            {"pointer": "/retension", "file": "resources/orders.yaml", "line": 4, "column": 1, "code": "TG5003", "detail": "unknown key `retension`", "hint": "did you mean `retention`?"},
        ]});
        let Failure::Report(report) = wrong(&problem) else {
            panic!("no report")
        };
        assert_eq!(
            report.to_string(),
            "error[TG5003]: unknown key `retension`\n  --> resources/orders.yaml:4:1\n   = did you mean `retention`?\n\n1 error in 1 file; nothing was changed\n"
        );
    }
}
