"""The fake of Vertex AI behind gRPC, so that Google's own client talks to it."""

from __future__ import annotations

from concurrent import futures
from contextlib import contextmanager
from typing import TYPE_CHECKING

from airflow_mlops.backends.serving.patience import RefusedError

if TYPE_CHECKING:
    from fakes.vertex import FakeEndpoints

SERVICE = "google.cloud.aiplatform.v1.EndpointService"
CODES = {
    400: "FAILED_PRECONDITION",
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


@contextmanager
def google_client(fake: FakeEndpoints):
    """Yield Google's client of the endpoint service, connected to the fake."""
    import grpc
    from google.cloud.aiplatform_v1 import EndpointServiceClient
    from google.cloud.aiplatform_v1.services.endpoint_service.transports import EndpointServiceGrpcTransport
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
    server = grpc.server(futures.ThreadPoolExecutor(4))
    server.add_generic_rpc_handlers(
        (
            grpc.method_handlers_generic_handler(SERVICE, endpoints),
            grpc.method_handlers_generic_handler("google.longrunning.Operations", {"GetOperation": get}),
        )
    )
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield EndpointServiceClient(transport=EndpointServiceGrpcTransport(channel=channel))
    server.stop(0).wait()
