//! Clients nobody here wrote: curl, Python, Node, a browser.
use crate::dev;
use std::{
    io::{BufRead, BufReader},
    process::{Command, Output, Stdio},
    time::Duration,
};
use tidegate_core::clock;
use tidegate_testkit::{Browser, Node, balance};

fn run(program: &str, arguments: &[&str]) -> Output {
    let output = Command::new(program).args(arguments).output();
    output.unwrap_or_else(|error| panic!("`{program}` is needed (cargo xtask tools installs it): {error}"))
}
fn said(output: &Output) -> String {
    // Some are told to keep silent.
    assert!(output.status.success(), "{output:?}");
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
fn curl_speaks_http_2() {
    let node = dev().start();
    let curl = |arguments: &[&str]| {
        let all = ["-s", "--http2-prior-knowledge", "-w", "%{http_version}"]
            .iter()
            .chain(arguments)
            .copied();
        run("curl", &all.collect::<Vec<_>>())
    };
    let posted = said(&curl(&["-d", "{\"id\":1}", &url(&node, "/orders")]));
    assert_eq!(posted, "{\"id\":\"1.0\",\"position\":\"1.0\",\"ack\":\"stored\"}\n2");
    let page = said(&curl(&[&url(&node, "/orders")]));
    assert!(page.contains("\"payload\":\"{\\\"id\\\":1}\"") && page.ends_with('2'), "{page}");
    let stream = curl(&[
        "-N",
        "--max-time",
        "1",
        "-H",
        "Accept: text/event-stream",
        &url(&node, "/orders?from=earliest"),
    ]);
    assert!(String::from_utf8_lossy(&stream.stdout).contains("id: 1.0\ndata: {\"id\":1}\n\n"));
    // Larger than a window, and in a frame for each piece.
    let large = tempfile::NamedTempFile::new().unwrap();
    large.as_file().set_len(4 << 20).unwrap();
    let upload = said(&curl(&[
        "--data-binary",
        &format!("@{}", large.path().display()),
        &url(&node, "/orders"),
    ]));
    assert!(upload.contains("\"position\":\"1.1\"") && upload.ends_with('2'), "{upload}");
    // An answer that comes before the end of the body is not lost by what follows it.
    large.as_file().set_len(9 << 20).unwrap();
    for (path, code) in [("/orders", "TG1003"), ("/nowhere", "TG1001")] {
        for _ in 0..5 {
            let refused = said(&curl(&[
                "--data-binary",
                &format!("@{}", large.path().display()),
                &url(&node, path),
            ]));
            assert!(refused.contains(code), "{refused}");
        }
    }
    assert!(said(&curl(&["-I", &url(&node, "/")])).contains("content-length"));
    node.until("tidegate_subscribers{api=\"orders\",entrypoint=\"sse\"}", |open| open == 0);
    balance(&node);
}
#[test]
fn nghttp_and_h2load_speak_http_2() {
    let node = dev().start();
    let body = tempfile::NamedTempFile::new().unwrap();
    body.as_file().set_len(128).unwrap();
    let body = body.path().display().to_string();
    let load = said(&run(
        "h2load",
        &["-n", "2000", "-c", "4", "-m", "100", "-d", &body, &url(&node, "/orders")],
    ));
    assert!(load.contains("2000 succeeded, 0 failed, 0 errored, 0 timeout"), "{load}");
    let posted = said(&run("nghttp", &["-d", &body, &url(&node, "/orders")]));
    assert!(posted.contains("\"position\":\"1.2000\""), "{posted}");
    // Several at once on one connection, each of another window.
    let pages = said(&run(
        "nghttp",
        &["-w", "16", "-W", "20", "-m", "8", "-n", "-s", &url(&node, "/orders?limit=100")],
    ));
    assert!(pages.contains(" 200 "), "{pages}");
    let mut stream = Command::new("nghttp")
        .args(["-t", "3", "-H", "accept: text/event-stream", &url(&node, "/orders?from=last:1")])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(stream.stdout.take().unwrap()).lines().map_while(Result::ok);
    assert!(lines.any(|line| line == "id: 1.2000"), "no event came");
    stream.kill().unwrap();
    stream.wait().unwrap();
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
lines = [stream.readline() for _ in range(5)]
assert lines[3] == b"id: 1.99\n", lines
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

/// One of those that `cargo xtask tools` puts beside the repository's files.
fn tool(name: &str) -> String {
    format!("{}/{name}", crate::TOOLS)
}
#[test]
fn websocat_gets_the_mock_message_each_second() {
    let node = dev().start();
    let mut child = Command::new(tool("websocat"))
        .args(["-n", &format!("ws://{}/qs-message-api", node.gateway)])
        .stdout(Stdio::piped())
        .spawn()
        .expect("websocat (cargo xtask tools installs it)");
    let began = clock::instant();
    let lines: Vec<_> = BufReader::new(child.stdout.take().unwrap())
        .lines()
        .take(3)
        .map_while(Result::ok)
        .collect();
    assert_eq!(lines, ["mock message"; 3]);
    assert!(began.elapsed() > Duration::from_millis(2_900), "one a second, the first after one");
    child.kill().unwrap();
    child.wait().unwrap();
    node.until("tidegate_subscribers{api=\"qs-message-api\",entrypoint=\"websocket\"}", |open| {
        open == 0
    });
    balance(&node);
}
#[test]
fn websockets_of_python_publishes_resumes_after_a_cut_and_grants_credit() {
    let node = dev().start();
    let script = r#"
import asyncio, json, sys, websockets
url = f"ws://{sys.argv[1]}/orders"
def connect():
    return websockets.connect(url, subprotocols=["tidegate.v1.json"])
async def main():
    async with connect() as ws:
        for i in range(100):
            await ws.send(json.dumps({"op": "publish", "ref": i, "payload": {"i": i}}))
        for i in range(100):
            receipt = json.loads(await ws.recv())
            assert receipt["op"] == "receipt" and receipt["ref"] == i and receipt["ack"] == "stored", receipt
    ws = await connect()
    await ws.send(json.dumps({"op": "subscribe", "from": "earliest", "credit": 10}))
    assert json.loads(await ws.recv())["op"] == "subscribed"
    seen = [json.loads(await ws.recv()) for _ in range(10)]
    ws.transport.abort()
    async with connect() as ws:
        await ws.send(json.dumps({"op": "subscribe", "cursor": seen[-1]["position"], "credit": 40}))
        begun = json.loads(await ws.recv())
        assert begun == {"op": "subscribed", "cursor": seen[-1]["position"]}, begun
        while len(seen) < 100:
            seen.append(json.loads(await ws.recv()))
            if len(seen) == 50:
                await ws.send(json.dumps({"op": "credit", "n": 50}))
    assert [json.loads(m["payload"])["i"] for m in seen] == list(range(100)), seen
    print("ok")
asyncio.run(main())
"#;
    assert_eq!(said(&run(&tool("python3"), &["-c", script, &node.gateway.to_string()])), "ok\n");
    node.until("tidegate_subscribers{api=\"orders\",entrypoint=\"websocket\"}", |open| open == 0);
    balance(&node);
}
#[test]
fn ws_of_node_publishes_reads_binary_and_answers_pings() {
    let node = dev()
        .start_with("kind: stream\nname: orders\n---\nkind: api\nname: orders\npaths: [/orders]\nbackend: { stream: orders }\nentrypoints: { websocket: { heartbeat: 200ms } }\n");
    let script = r#"
const WebSocket = require(process.argv[2] + "/../node_modules/ws");
const plain = new WebSocket(`ws://${process.argv[3]}/orders`);
const json = new WebSocket(`ws://${process.argv[3]}/orders`, "tidegate.v1.json");
const told = [];
let pings = 0;
json.on("message", data => told.push(JSON.parse(data)));
plain.on("ping", () => { if (++pings === 4) plain.close(1000); });
plain.on("message", (data, binary) => {
  if (!binary || data.toString("hex") !== "ff0001") throw new Error("other bytes");
  json.send(JSON.stringify({op: "subscribe", from: "earliest"}));
});
plain.on("close", code => {
  const ops = told.map(word => word.op).sort().join();
  if (code !== 1000 || ops !== "message,receipt,subscribed") throw new Error(`${code} ${ops}`);
  json.close();
  console.log("ok");
});
let open = 0;
const begin = () => { if (++open === 2) json.send(JSON.stringify({op: "publish", ref: 1, payload: "/wAB", encoding: "base64"})); };
plain.on("open", begin);
json.on("open", begin);
"#;
    let said = said(&run("node", &["-e", script, "-", crate::TOOLS, &node.gateway.to_string()]));
    assert_eq!(said, "ok\n");
    node.until("tidegate_subscribers{api=\"orders\",entrypoint=\"websocket\"}", |open| open == 0);
    balance(&node);
}
#[test]
fn a_browser_speaks_websocket() {
    let node = dev().start();
    let browser = Browser::new();
    browser.open(&url(&node, "/"));
    browser.run(
        "window.told = []; const socket = new WebSocket(`ws://${location.host}/orders`, 'tidegate.v1.json');\
         socket.onopen = () => { socket.send(JSON.stringify({op: 'subscribe', from: 'earliest'}));\
             socket.send(JSON.stringify({op: 'publish', ref: 'r', payload: 'from the browser'})); };\
         socket.onmessage = event => window.told.push(JSON.parse(event.data))",
    );
    let told = browser.until("return window.told", |told| told.as_array().is_some_and(|told| told.len() == 3));
    let of = |op: &str| told.as_array().unwrap().iter().find(|word| word["op"] == op).cloned().unwrap();
    assert_eq!(of("receipt")["ack"], "stored");
    assert_eq!(of("message")["payload"], "from the browser");
    drop(browser);
    node.until("tidegate_subscribers{api=\"orders\",entrypoint=\"websocket\"}", |open| open == 0);
    balance(&node);
}
