// The page "Models": each model's rollout now, with a stop, and its ledger. Airflow's UI provides React and Chakra.
const { createElement: h, useEffect, useState } = globalThis.React;
const { Badge, Box, Button, Code, Heading, Input, Link, NativeSelect, Spinner, Stack, Table, Text } = globalThis.ChakraUI;

const COLOURS = {
  promotion: "green", promoted: "green", rollback: "orange", rolled_back: "orange", rolled_back_by_person: "orange",
  approved: "blue", rejected: "red", stopped: "red", reaped: "red", failed: "red",
};
const REFRESH_MS = { rollout: 5000, ledger: 15000 };
const NO_PERSON = { timeout: "the default, without an answer in time", "no warning": "the configuration, without a warning" };
const COLUMNS = ["Time (UTC)", "What", "Version", "Who", "DAG run", "Why", "Evidence"];

async function read(path, options = {}) {
  const answer = await fetch(path, { ...options, headers: { Accept: "application/json", ...options.headers } });
  const body = await answer.json().catch(() => ({}));
  if (answer.ok) return body;
  const detail = typeof body.detail === "string" ? body.detail : JSON.stringify(body.detail ?? "");
  throw Object.assign(new Error(`${answer.status} ${answer.statusText}: ${detail}`), { status: answer.status });
}

const stop = (model, reason) =>
  read("mlops/stop", {
    method: "POST",
    headers: { "Content-Type": "application/json", "X-MLOps-Request": "stop" },
    body: JSON.stringify({ model, reason }),
  });

function useRead(path) {
  const [state, setState] = useState({});
  useEffect(() => {
    let current = true;
    setState({});
    if (path) {
      read(path).then(
        (found) => current && setState({ found }),
        (error) => current && setState({ error: error.message }),
      );
    }
    return () => { current = false; };
  }, [path]);
  return state;
}

const isDecision = (entry) => ["decision", "answer"].includes(entry.kind);
const whatOf = (entry) => (isDecision(entry) ? entry.decision : entry.kind);
const isChange = (entry) => "to_version" in entry;
const timeOf = (entry) => new Date(entry.at * 1000).toISOString().slice(0, 19).replace("T", " ");
const versionOf = (entry) =>
  isChange(entry) ? `${entry.from_version ?? "none"} → ${entry.to_version}` : entry.version;
const whoOf = (entry) => (entry.actor === `${entry.dag_id}/${entry.run_id}` ? "the rollout itself" : entry.actor) || NO_PERSON[entry.because] || entry.because || "";
const whyOf = (entry) =>
  (isDecision(entry)
    ? [entry.comment]
    : [entry.way && `by way of the ${entry.way}`, entry.percent && `at ${entry.percent} % of requests`, entry.reason,
      entry.approval && `before it ${entry.approval}`, entry.champion === null && entry.version && "no version serves after it"]
  ).filter(Boolean);

const shortOf = (verdict) => verdict.replace(/^(.{8})[^/]*/, "$1…");

function RunLink({ entry }) {
  if (!entry.dag_id) return "";
  const run = `dags/${encodeURIComponent(entry.dag_id)}/runs/${encodeURIComponent(entry.run_id)}`;
  return h(Link, { href: new URL(run, document.baseURI).href, colorPalette: "blue", minW: "12rem", wordBreak: "break-all" },
    h("span", null, entry.dag_id, h("br"), entry.run_id));
}

function Entry({ entry }) {
  const cells = [
    h(Text, { whiteSpace: "nowrap" }, timeOf(entry)),
    h(Badge, { colorPalette: COLOURS[whatOf(entry)] ?? "gray" }, whatOf(entry).replaceAll("_", " ")),
    h(Text, { whiteSpace: "nowrap", fontWeight: "semibold" }, versionOf(entry)),
    whoOf(entry),
    h(RunLink, { entry }),
    whyOf(entry).map((text) => h(Text, { key: text, minW: "22rem" }, text)),
    (entry.verdicts ?? []).map((verdict) => h(Code, { key: verdict, title: verdict, size: "sm", display: "block", w: "fit-content" },
      shortOf(verdict))),
  ];
  return h(Table.Row, null, cells.map((cell, place) => h(Table.Cell, { key: COLUMNS[place], verticalAlign: "top" }, cell)));
}

/** What a path says now, asked for again every few seconds; what was found last stays visible, with its time. */
function usePolled(path, every, again) {
  const [state, setState] = useState({});
  useEffect(() => {
    let current = true;
    const ask = () =>
      read(path).then(
        (found) => current && setState({ found, at: Date.now() / 1000 }),
        (error) => current && setState((before) => ({ ...before, error })),
      );
    ask();
    const timer = setInterval(ask, every);
    return () => { current = false; clearInterval(timer); };
  }, [path, every, again]);
  return state;
}

function StopForm({ model, alone, onDone }) {
  const [reason, setReason] = useState("");
  const [state, setState] = useState({});
  const send = (event) => {
    event.preventDefault();
    setState({ busy: true });
    stop(model, reason).then(onDone, (error) => setState({ error: error.message }));
  };
  return h("form", { onSubmit: send },
    alone && h(Text, { color: "fg.error" }, "No other version serves: after the stop nothing answers until the next rollout."),
    h(Stack, { direction: "row", gap: 2, align: "center", maxW: "3xl" },
      h(Input, { value: reason, placeholder: "Why; kept in the ledger", "aria-label": "Reason", autoFocus: true, maxLength: 1000,
        onChange: (event) => setReason(event.target.value) }),
      h(Button, { type: "submit", colorPalette: "red", disabled: state.busy || !reason.trim() },
        state.busy ? "Stopping…" : "Stop the rollout"),
      h(Button, { type: "button", variant: "ghost", onClick: () => onDone(null) }, "Cancel")),
    state.error && h(Text, { color: "fg.error", role: "alert" }, state.error));
}

function servingOf({ traffic, url }) {
  return traffic.stable ? `Version ${traffic.stable} serves all requests${url ? ` at ${url}` : ""}.` : "No version serves.";
}

function leaseOf(found) {
  if (found.lease_seconds === null) return "";
  const seconds = Math.round(Math.abs(found.lease_seconds));
  return found.watched ? `lease: ${seconds} s left` : `lease ended ${seconds} s ago: nobody watches`;
}

/** What the analysis says; when nobody has looked for a while, since when, and that it said it then. */
function evidenceOf({ live, silent_seconds: silent }) {
  if (!live) return "";
  const at = timeOf(live).slice(11);
  const then = silent === null ? `looked at ${at} UTC: ` : `not looked at for ${Math.round(silent)} s, nobody watches; at ${at} UTC it was: `;
  const tests = Object.entries(live.e_values).map(([name, value]) => `${name} ${Number(value).toPrecision(3)}`).join(", ");
  return `${then}${live.phase.replaceAll("_", " ")}; e-values: ${tests} (rolls back at ${Number(live.bar).toPrecision(3)}); ${live.reasons.join("; ")}`;
}

function Rollout({ model, onStopped }) {
  const [again, setAgain] = useState(0);
  const [asks, setAsks] = useState(false);
  const [said, setSaid] = useState("");
  const { found, error, at } = usePolled(`mlops/rollout?model=${encodeURIComponent(model)}`, REFRESH_MS.rollout, again);
  const done = (answer) => {
    setAsks(false);
    if (!answer) return;
    setSaid(`${answer.sentence}${answer.ledger ? `; ledger entry ${answer.ledger}` : ""}`);
    setAgain(again + 1);
    onStopped();
  };
  const result = said && h(Text, { role: "status", fontWeight: "semibold" }, said);
  if (error && [403, 404].includes(error.status)) return result || null;
  const trouble = error && h(Text, { color: "fg.error", role: "alert" }, error.message);
  if (!found) return h(Stack, null, trouble || h(Spinner), result);
  const { stable, canary, holder } = found.traffic;
  const percent = canary && !stable ? 100 : found.traffic.canary_percent;
  if (!canary && !holder) return h(Stack, null, trouble, result, h(Text, { color: "fg.muted" }, `No rollout is running. ${servingOf(found)}`));
  return h(Box, { borderWidth: "1px", borderRadius: "md", p: 3, role: "region", "aria-label": `Rollout of ${model}` },
    h(Stack, { gap: 2 },
      h(Stack, { direction: "row", gap: 3, align: "center", wrap: "wrap" },
        h(Badge, { colorPalette: found.watched ? "blue" : "red" }, canary ? `canary ${percent} %` : "no canary"),
        h(Text, { fontWeight: "semibold" }, canary ? `version ${canary} of ${model}${stable ? `, beside version ${stable}` : ""}` : model),
        h(Text, null, holder ? `held by ${holder}` : "nobody holds it"),
        h(Text, { color: found.watched ? "fg.muted" : "fg.error" }, leaseOf(found)),
        found.may_stop && !asks && h(Button, { size: "sm", colorPalette: "red", onClick: () => setAsks(true) }, "Stop")),
      h(Text, { color: "fg.muted" }, [`as of ${timeOf({ at }).slice(11)} UTC`, evidenceOf(found)].filter(Boolean).join("; ")),
      found.problem && h(Text, { color: "fg.error" }, found.problem),
      asks && h(StopForm, { model, alone: !stable, onDone: done }),
      trouble, result));
}

function Ledger({ model }) {
  const { found, error } = usePolled(`mlops/ledger?model=${encodeURIComponent(model)}`, REFRESH_MS.ledger);
  const trouble = error && h(Text, { color: "fg.error", role: "alert" }, error.message);
  if (!found) return trouble || h(Spinner);
  return h(Stack, { gap: 3 },
    trouble,
    h(Text, null, found.champion ? `Champion now: version ${found.champion}` : "No version is champion."),
    found.withheld > 0 && h(Text, { color: "fg.muted" }, `${found.withheld} entries are of DAGs that you may not read.`),
    h(Box, { overflowX: "auto" },
      h(Table.Root, { size: "sm", "aria-label": `Ledger of ${model}` },
        h(Table.Header, null, h(Table.Row, null, COLUMNS.map((name) => h(Table.ColumnHeader, { key: name }, name)))),
        h(Table.Body, null, found.entries.map((entry) => h(Entry, { key: entry.number || entry.at, entry }))))));
}

/** Models that have a ledger, or an endpoint: a rollout can be stopped while MLflow is away. */
function useNames() {
  const models = useRead("mlops/models"), served = useRead("mlops/endpoints");
  const names = [...new Set([...(models.found?.models ?? []), ...(served.found?.endpoints ?? [])])].sort();
  const asked = (state) => state.found || state.error;
  return { names, error: models.error, found: asked(models) && asked(served) };
}

function Models() {
  const { names, found, error } = useNames();
  const [stops, setStops] = useState(0);
  const [chosen, setChosen] = useState(new URLSearchParams(globalThis.location.search).get("model"));
  const model = chosen ?? names[0];
  return h(Stack, { p: 4, gap: 4 },
    h(Heading, { size: "lg" }, "Models"),
    h(Text, { color: "fg.muted" }, "The rollout now; below it every change of champion, decision and end, newest first."),
    error && h(Text, { color: "fg.error", role: "alert" }, error),
    found && !names.length && h(Text, null, "No model has a ledger yet: no promotions and no decisions."),
    names.length > 0 && h(NativeSelect.Root, { maxW: "sm" },
      h(NativeSelect.Field, { value: model, "aria-label": "Model", onChange: (event) => setChosen(event.target.value) },
        names.map((name) => h("option", { key: name, value: name }, name))),
      h(NativeSelect.Indicator)),
    model && h(Rollout, { key: `rollout ${model}`, model, onStopped: () => setStops(stops + 1) }),
    model && h(Ledger, { key: `${model} ${stops}`, model }));
}

globalThis.Models = Models;
