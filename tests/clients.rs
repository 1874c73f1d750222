//! Clients nobody here wrote: curl, Python, Node, a browser.
use crate::dev;
use std::process::{Command, Output};
use tidegate_testkit::{Browser, Node, balance};

fn run(program: &str, arguments: &[&str]) -> Output {
    let output = Command::new(program).args(arguments).output();
    output.unwrap_or_else(|error| panic!("`{program}` is needed (cargo xtask tools installs it): {error}"))
}
fn said(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}
fn url(node: &Node, path: &str) -> String {
    format!("http://{}{path}", node.gateway)
}
#[test]
fn curl_does_the_first_ten_minutes() {
    let node = dev().start();
    let posted = said(&run("curl", &["-s", "-d", "{\"id\":1}", &url(&node, "/orders")]));
    assert_eq!(posted, "{\"id\":\"1.0\",\"position\":\"1.0\",\"ack\":\"stored\"}\n");
    let page = said(&run("curl", &["-s", &url(&node, "/orders")]));
    assert!(page.contains("\"payload\":\"{\\\"id\\\":1}\""), "{page}");
    let live = said(&run("curl", &["-s", "-d", "hi", &url(&node, "/topics/demo")]));
    assert!(live.contains("\"note\":\"live only: no stream captures `demo`\""), "{live}");
    let stream = run(
        "curl",
        &[
            "-sN",
            "--max-time",
            "1",
            "-H",
            "Accept: text/event-stream",
            &url(&node, "/orders?from=earliest"),
        ],
    );
    assert!(String::from_utf8_lossy(&stream.stdout).contains("id: 1.0\ndata: {\"id\":1}\n\n"));
    let upload = said(&run(
        "curl",
        &[
            "-s",
            "-H",
            "Expect: 100-continue",
            "-H",
            "Transfer-Encoding: chunked",
            "--data-binary",
            "chunked",
            &url(&node, "/orders"),
        ],
    ));
    assert!(upload.contains("\"position\":\"1.1\""), "{upload}");
    node.until("tidegate_subscribers{api=\"orders\",entrypoint=\"sse\"}", |open| open == 0);
    balance(&node);
}
#[test]
fn python_publishes_and_reads() {
    let node = dev().start();
    let script = r#"
import http.client, json, sys
connection = http.client.HTTPConnection(sys.argv[1])
for i in range(100):
    connection.request("POST", "/orders", json.dumps({"i": i}), {"Content-Type": "application/json"})
    answer = connection.getresponse()
    assert answer.status == 202, answer.status
    assert json.load(answer)["ack"] == "stored"
connection.request("GET", "/orders?limit=100")
page = json.load(connection.getresponse())
assert [json.loads(item["payload"])["i"] for item in page["items"]] == list(range(100))
connection.request("GET", "/orders?from=last:1", headers={"Accept": "text/event-stream"})
stream = connection.getresponse()
lines = [stream.readline() for _ in range(4)]
assert lines[2] == b"id: 1.99\n", lines
print("ok")
"#;
    assert_eq!(said(&run("python3", &["-c", script, &node.gateway.to_string()])), "ok\n");
    node.until("tidegate_subscribers{api=\"orders\",entrypoint=\"sse\"}", |open| open == 0);
    balance(&node);
}
#[test]
fn node_publishes_and_reads() {
    let node = dev().start();
    let script = r#"
const base = process.argv[1];
(async () => {
  const results = await Promise.all(Array.from({ length: 50 }, (_, i) => fetch(base + "/orders", { method: "POST", body: String(i) })));
  if (!results.every((answer) => answer.status === 202)) throw new Error("not stored");
  const page = await (await fetch(base + "/orders")).json();
  const seen = page.items.map((item) => Number(item.payload)).sort((a, b) => a - b);
  if (seen.length !== 50 || seen.some((n, i) => n !== i)) throw new Error(JSON.stringify(seen));
  const stream = await fetch(base + "/orders?from=last:1", { headers: { accept: "text/event-stream" } });
  const reader = stream.body.getReader();
  let text = "";
  while (!text.includes("data: ")) text += new TextDecoder().decode((await reader.read()).value);
  await reader.cancel();
  console.log("ok");
})();
"#;
    assert_eq!(said(&run("node", &["-e", script, &url(&node, "")])), "ok\n");
    node.until("tidegate_subscribers{api=\"orders\",entrypoint=\"sse\"}", |open| open == 0);
    balance(&node);
}
#[test]
fn a_browser_shows_live_messages_on_the_page_and_publishes() {
    let node = dev().start();
    assert_eq!(node.post("/orders", &[], b"{\"from\":\"the test\"}").status, 202);
    let browser = Browser::new();
    browser.open(&url(&node, "/"));
    let list = "return document.getElementById('messages').innerText";
    browser.until(list, |text| {
        text.as_str().is_some_and(|text| text.contains("{\"from\":\"the test\"}"))
    });
    browser.run("document.getElementById('payload').value = 'typed'; document.querySelector('button').click()");
    browser.until(list, |text| text.as_str().is_some_and(|text| text.contains("typed")));
    browser.until("return document.getElementById('receipt').innerText", |text| {
        text == "stored at 1.1"
    });
    drop(browser);
    node.until("tidegate_subscribers{api=\"orders\",entrypoint=\"sse\"}", |open| open == 0);
    balance(&node);
}
