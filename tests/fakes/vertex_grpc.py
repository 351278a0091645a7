"""The fake Vertex AI over gRPC, for Airflow's hook and Google's own client."""

from __future__ import annotations

import json
from concurrent import futures
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from airflow_mlops.backends.serving.remote.retry import RefusedError

if TYPE_CHECKING:
    from fakes.vertex import FakeEndpoints

SERVICE = "google.cloud.aiplatform.v1.EndpointService"
CODES = {
    400: "FAILED_PRECONDITION",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    409: "ABORTED",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    503: "UNAVAILABLE",
}


class Service:
    """Answers requests from a :class:`FakeEndpoints`."""

    def __init__(self, fake):
        self.fake = fake

    def get(self, request):
        from google.cloud.aiplatform_v1.types import endpoint

        return endpoint.Endpoint(self.fake.get(request.name))

    def update(self, request):
        asked = request.endpoint
        assert set(request.update_mask.paths) == {"labels", "traffic_split"}
        self.fake.update(
            asked.name, etag=asked.etag, labels=dict(asked.labels), split=dict(asked.traffic_split)
        )
        return self.get(asked)

    def deploy(self, request):
        assert not request.traffic_split
        model = request.deployed_model
        body = type(model).to_dict(model, use_integers_for_enums=False)
        return running(self.fake.deploy(request.endpoint, {key: body[key] for key in body if body[key]}))

    def undeploy(self, request):
        return running(self.fake.undeploy(request.endpoint, request.deployed_model_id))

    def operation(self, request):
        done, error = self.fake.operation(request.name)
        found = running(request.name)
        found.done = done
        if error:
            found.error.code, found.error.message = 9, error
        return found


def running(name):
    from google.longrunning import operations_pb2

    return operations_pb2.Operation(name=name)


def handlers(fake):
    import grpc
    from google.cloud.aiplatform_v1.types import endpoint, endpoint_service
    from google.longrunning import operations_pb2

    def handler(answer, request, response):
        def call(message, context):
            try:
                return answer(message)
            except RefusedError as error:
                context.abort(grpc.StatusCode[CODES[error.status]], str(error))

        return grpc.unary_unary_rpc_method_handler(
            call, request_deserializer=request, response_serializer=response
        )

    service, sent = Service(fake), operations_pb2.Operation.SerializeToString
    types, ep = endpoint_service, endpoint.Endpoint.serialize
    endpoints = {
        "GetEndpoint": handler(service.get, types.GetEndpointRequest.deserialize, ep),
        "UpdateEndpoint": handler(service.update, types.UpdateEndpointRequest.deserialize, ep),
        "DeployModel": handler(service.deploy, types.DeployModelRequest.deserialize, sent),
        "UndeployModel": handler(service.undeploy, types.UndeployModelRequest.deserialize, sent),
    }
    get = handler(service.operation, operations_pb2.GetOperationRequest.FromString, sent)
    return (
        grpc.method_handlers_generic_handler(SERVICE, endpoints),
        grpc.method_handlers_generic_handler("google.longrunning.Operations", {"GetOperation": get}),
    )


@contextmanager
def serving(fake: FakeEndpoints):
    """Yield the fake's port, and the list of channels to close at the end."""
    import grpc

    server, channels = grpc.server(futures.ThreadPoolExecutor(4)), []
    server.add_generic_rpc_handlers(handlers(fake))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield port, channels
    for channel in channels:
        channel.close()
    server.stop(0).wait()


@contextmanager
def redirected(port, channels):
    """Make Airflow's own hook connect to the fake, with anonymous credentials, while the block runs.

    Only the address and the encryption differ from Google's.
    """
    import grpc
    from airflow.providers.google.cloud.hooks.vertex_ai.endpoint_service import EndpointServiceHook
    from google.cloud.aiplatform_v1.services.endpoint_service.transports import EndpointServiceGrpcTransport

    def plain(cls, host, **_):
        channels.append(grpc.insecure_channel(host))
        return channels[-1]

    google = {"conn_type": "google_cloud_platform", "extra": {"is_anonymous": True}}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AIRFLOW_CONN_GOOGLE_CLOUD_DEFAULT", json.dumps(google))
        patch.setattr(EndpointServiceHook, "_get_api_endpoint", lambda self, region: f"127.0.0.1:{port}")
        patch.setattr(EndpointServiceGrpcTransport, "create_channel", classmethod(plain))
        yield


@contextmanager
def listening(fake: FakeEndpoints):
    """Connect every client that Airflow's hook creates in the block to the fake."""
    with serving(fake) as at, redirected(*at):
        yield


@contextmanager
def google_client(fake: FakeEndpoints):
    """Yield a client created by Airflow's hook and connected to the fake."""
    from airflow.providers.google.cloud.hooks.vertex_ai.endpoint_service import EndpointServiceHook

    with serving(fake) as at:
        with redirected(*at):
            client = EndpointServiceHook().get_endpoint_service_client("europe-west4")
        yield client
