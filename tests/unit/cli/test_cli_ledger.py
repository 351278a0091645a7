from __future__ import annotations

import json

import pytest

from airflow_mlops.backends.mlflow_server import MlflowServer
from airflow_mlops.backends.registry.mlflow import MlflowRegistry
from airflow_mlops.backends.registry.protocol import CHAMPION_ALIAS, DecisionEntry, LedgerEntry
from airflow_mlops.cli import main


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """MLflow with a model that was promoted, set by hand, and promoted again."""
    uri = f"sqlite:///{tmp_path_factory.mktemp('mlflow')}/mlflow.db"
    registry = MlflowRegistry(MlflowServer(uri))
    with registry.server.session() as client:
        client.create_registered_model("bare")
        client.create_registered_model("churn")
        for _ in range(3):
            client.create_model_version("churn", "test:/churn", await_creation_for=None)
    common = {"model": "churn", "actor": "ann", "dag_id": "churn__rollout", "reason": "shown better"}
    registry.promote(LedgerEntry(from_version=None, to_version="1", run_id="r1", at=0.0, **common))
    with registry.server.session() as client:
        client.set_registered_model_alias("churn", CHAMPION_ALIAS, "2")
    last = LedgerEntry(from_version="2", to_version="3", run_id="r2", at=86400.0, **common)
    registry.promote(LedgerEntry.from_json(last.to_json() | {"verdicts": ["run/validation_report.json"]}))
    return uri


def test_entries_are_shown_newest_first_with_who_when_and_why(address, capsys):
    assert main(["ledger", "churn", "--tracking-uri", address]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "  2 1970-01-02 00:00:00Z promotion: 2 → 3 by ann",
        "  run churn__rollout/r2",
        "  reason shown better",
        "  verdict run/validation_report.json",
        "  before it the alias moved outside the ledger: 1 → 2",
        "  1 1970-01-01 00:00:00Z promotion: none → 1 by ann",
        "  run churn__rollout/r1",
        "  reason shown better",
    ]


def test_json_holds_whole_entries(address, capsys, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    assert main(["ledger", "churn", "--json"]) == 0
    entries = [LedgerEntry.from_json(e) for e in json.loads(capsys.readouterr().out)]
    assert [e.to_version for e in entries] == ["3", "1"]


@pytest.fixture(scope="module")
def decided(address):
    """A model of which one version was approved and promoted, and two were rejected."""
    registry = MlflowRegistry(MlflowServer(address))
    with registry.server.session() as client:
        client.create_registered_model("decided")
        for _ in range(3):
            client.create_model_version("decided", "test:/m", await_creation_for=None)
    run = {"model": "decided", "dag_id": "decided__training"}
    ann = DecisionEntry(
        version="1",
        decision="approved",
        actor="ann",
        comment="good on storms",
        run_id="r1",
        verdicts=("e/v.json",),
        **run,
    )
    registry.decide(ann)
    promoted = {"run_id": "r2", "reason": "shown better", "actor": "airflow", "approval": ann.sentence}
    registry.promote(LedgerEntry(from_version=None, to_version="1", **promoted | run))
    registry.decide(DecisionEntry(version="2", decision="rejected", because="timeout", run_id="r3", **run))
    registry.decide(DecisionEntry(version="3", decision="approved", because="no warning", run_id="r4", **run))
    return address


def test_decisions_are_shown_among_the_changes_of_champion_with_who_or_what_decided(decided, capsys):
    assert main(["ledger", "decided", "--tracking-uri", decided]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "  4 1970-01-01 00:00:00Z approved: version 3 by the configuration, without a warning",
        "  run decided__training/r4",
        "  3 1970-01-01 00:00:00Z rejected: version 2 by the default, without an answer in time",
        "  run decided__training/r3",
        "  2 1970-01-01 00:00:00Z promotion: none → 1 by airflow",
        "  run decided__training/r2",
        "  reason shown better",
        "  before it approved by ann: good on storms",
        "  1 1970-01-01 00:00:00Z approved: version 1 by ann",
        "  run decided__training/r1",
        "  comment good on storms",
        "  verdict e/v.json",
    ]
    main(["ledger", "decided", "--tracking-uri", decided, "--json"])
    kinds = [(e["number"], e["kind"]) for e in json.loads(capsys.readouterr().out)]
    assert kinds == [(4, "decision"), (3, "decision"), (2, "promotion"), (1, "decision")]


def test_model_without_champion_is_said_to_be_so(address, capsys):
    with MlflowServer(address).session() as client:
        client.create_model_version("bare", "test:/bare", await_creation_for=None)
    assert main(["ledger", "bare", "--tracking-uri", address]) == 0
    assert capsys.readouterr().out == "no version was champion yet\n"


def test_entries_of_before_there_were_numbers_are_shown_newest_first_too(address, capsys):
    old = {"model": "old", "actor": "a", "dag_id": "d", "run_id": "r", "reason": ""}
    with MlflowServer(address).session() as client:
        client.create_registered_model("old")
        for number, (before, after) in enumerate([(None, "1"), ("1", "2")]):
            text = json.dumps(old | {"from_version": before, "to_version": after, "at": 1.0})
            client.set_registered_model_tag("old", f"mlops.ledger.{number:06}", text)
    main(["ledger", "old", "--tracking-uri", address, "--json"])
    assert [e["to_version"] for e in json.loads(capsys.readouterr().out)] == ["2", "1"]
    main(["ledger", "old", "--tracking-uri", address])
    assert [line[36:] for line in capsys.readouterr().out.splitlines()[::2]] == [
        "1 → 2 by a",
        "none → 1 by a",
    ]


def test_unknown_model_and_missing_address_are_named(address, capsys, monkeypatch):
    assert main(["ledger", "chum", "--tracking-uri", address]) == 2
    assert main(["ledger", "chu'rn", "--tracking-uri", address]) == 2
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)  # MLflow sets it
    assert main(["ledger", "churn"]) == 2
    said = capsys.readouterr().err
    assert "has no model 'chum'" in said
    assert "holds a quote" in said
    assert "give --tracking-uri or set MLFLOW_TRACKING_URI" in said


@pytest.mark.parametrize(
    ("address", "named"),
    [
        ("file:///mlruns", "MLflow address of scheme 'file', allowed: http or https"),
        ("./mlruns", "MLflow address without a scheme, allowed: http or https"),
        ("sqlite:///typo.db", "MLflow at sqlite:///typo.db: no such file"),
        ("sqlite:///notes.db", "MLflow at sqlite:///notes.db cannot be read: file is not a database"),
        ("http://ann:secret@127.0.0.1:9", "MLflow at http://127.0.0.1:9 does not answer"),
        (
            "postgresql+psycopg://ann:secret@127.0.0.1:9/db",
            "postgresql+psycopg://ann:***@127.0.0.1:9/db does not",
        ),
    ],
)
def test_address_that_is_wrong_is_one_line_and_nothing_is_made(tmp_path, monkeypatch, capsys, address, named):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "notes.db").write_text("notes " * 200)
    assert main(["ledger", "m", "--tracking-uri", address]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert named in line
    assert "secret" not in line
    assert [path.name for path in tmp_path.iterdir()] == ["notes.db"]
