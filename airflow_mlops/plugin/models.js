// The page "Models": changes of champion and decisions of each model. Airflow's UI provides React and Chakra.
const { createElement: h, useEffect, useState } = globalThis.React;
const { Badge, Box, Code, Heading, Link, NativeSelect, Spinner, Stack, Table, Text } = globalThis.ChakraUI;

const COLOURS = { promotion: "green", rollback: "orange", approved: "blue", rejected: "red" };
const NO_PERSON = { timeout: "the default, without an answer in time", "no warning": "the configuration, without a warning" };
const COLUMNS = ["Time (UTC)", "What", "Version", "Who", "DAG run", "Why", "Evidence"];

async function read(path) {
  const answer = await fetch(path, { headers: { Accept: "application/json" } });
  const body = await answer.json().catch(() => ({}));
  if (answer.ok) return body;
  const detail = typeof body.detail === "string" ? body.detail : JSON.stringify(body.detail ?? "");
  throw new Error(`${answer.status} ${answer.statusText}: ${detail}`);
}

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
const timeOf = (entry) => new Date(entry.at * 1000).toISOString().slice(0, 19).replace("T", " ");
const versionOf = (entry) =>
  isDecision(entry) ? entry.version : `${entry.from_version ?? "none"} → ${entry.to_version}`;
const whoOf = (entry) => entry.actor || NO_PERSON[entry.because] || entry.because || "";
const whyOf = (entry) =>
  (isDecision(entry) ? [entry.comment] : [entry.reason, entry.approval && `before it ${entry.approval}`]).filter(Boolean);

const shortOf = (verdict) => verdict.replace(/^(.{8})[^/]*/, "$1…");

function RunLink({ entry }) {
  const run = `dags/${encodeURIComponent(entry.dag_id)}/runs/${encodeURIComponent(entry.run_id)}`;
  return h(Link, { href: new URL(run, document.baseURI).href, colorPalette: "blue", minW: "18rem", wordBreak: "break-all" },
    h("span", null, entry.dag_id, h("br"), entry.run_id));
}

function Entry({ entry }) {
  const cells = [
    h(Text, { whiteSpace: "nowrap" }, timeOf(entry)),
    h(Badge, { colorPalette: COLOURS[whatOf(entry)] ?? "gray" }, whatOf(entry)),
    h(Text, { whiteSpace: "nowrap", fontWeight: "semibold" }, versionOf(entry)),
    whoOf(entry),
    h(RunLink, { entry }),
    whyOf(entry).map((text) => h(Text, { key: text }, text)),
    entry.verdicts.map((verdict) => h(Code, { key: verdict, title: verdict, size: "sm", display: "block", w: "fit-content" },
      shortOf(verdict))),
  ];
  return h(Table.Row, null, cells.map((cell, place) => h(Table.Cell, { key: COLUMNS[place], verticalAlign: "top" }, cell)));
}

function Ledger({ model }) {
  const { found, error } = useRead(model && `mlops/ledger?model=${encodeURIComponent(model)}`);
  if (error) return h(Text, { color: "fg.error", role: "alert" }, error);
  if (!found) return h(Spinner);
  return h(Stack, { gap: 3 },
    h(Text, null, found.champion ? `Champion now: version ${found.champion}` : "No version is champion."),
    found.withheld > 0 && h(Text, { color: "fg.muted" }, `${found.withheld} entries are of DAGs that you may not read.`),
    h(Box, { overflowX: "auto" },
      h(Table.Root, { size: "sm", "aria-label": `Ledger of ${model}` },
        h(Table.Header, null, h(Table.Row, null, COLUMNS.map((name) => h(Table.ColumnHeader, { key: name }, name)))),
        h(Table.Body, null, found.entries.map((entry) => h(Entry, { key: entry.number || entry.at, entry }))))));
}

function Models() {
  const { found, error } = useRead("mlops/models");
  const [chosen, setChosen] = useState(new URLSearchParams(globalThis.location.search).get("model"));
  const names = found?.models ?? [];
  const model = chosen ?? names[0];
  return h(Stack, { p: 4, gap: 4 },
    h(Heading, { size: "lg" }, "Models"),
    h(Text, { color: "fg.muted" }, "Every change of champion and every decision, newest first."),
    error && h(Text, { color: "fg.error", role: "alert" }, error),
    found && !names.length && h(Text, null, "No model has a ledger yet: no promotions and no decisions."),
    names.length > 0 && h(NativeSelect.Root, { maxW: "sm" },
      h(NativeSelect.Field, { value: model, "aria-label": "Model", onChange: (event) => setChosen(event.target.value) },
        names.map((name) => h("option", { key: name, value: name }, name))),
      h(NativeSelect.Indicator)),
    model && h(Ledger, { key: model, model }));
}

globalThis.Models = Models;
