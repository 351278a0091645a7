"""``CustomObjectsApi`` as far as it is used: the real one if installed, else the same calls by httpx."""

from __future__ import annotations

import httpx
import urllib3


class RestError(Exception):
    def __init__(self, answer):
        super().__init__(answer.text)
        self.status, self.body, self.headers = answer.status_code, answer.text, answer.headers


class RestObjects:
    def __init__(self, url):
        self.http = httpx.Client(base_url=url)

    def get_namespaced_custom_object(self, group, version, namespace, plural, name, _request_timeout):
        return self._call("GET", f"/apis/{group}/{version}/namespaces/{namespace}/{plural}/{name}")

    def create_namespaced_custom_object(self, group, version, namespace, plural, body, _request_timeout):
        return self._call("POST", f"/apis/{group}/{version}/namespaces/{namespace}/{plural}", body)

    def patch_namespaced_custom_object(self, group, version, namespace, plural, name, body, _request_timeout):
        return self._call("PATCH", f"/apis/{group}/{version}/namespaces/{namespace}/{plural}/{name}", body)

    def delete_namespaced_custom_object(
        self, group, version, namespace, plural, name, body, _request_timeout
    ):
        return self._call("DELETE", f"/apis/{group}/{version}/namespaces/{namespace}/{plural}/{name}", body)

    def close(self):
        self.http.close()

    def _call(self, verb, path, body=None):
        headers = {"Content-Type": "application/merge-patch+json"} if verb == "PATCH" else {}
        try:
            answer = self.http.request(verb, path, json=body, headers=headers)
        except httpx.HTTPError as error:
            raise urllib3.exceptions.HTTPError(str(error)) from error  # as the real one does
        if answer.is_error:
            raise RestError(answer)
        return answer.json()


def objects_client(url):
    try:
        from kubernetes import client
    except ImportError:
        return RestObjects(url)
    settings = client.Configuration(host=url)
    settings.retries = False  # urllib3 would wait as long as Retry-After asks, in real seconds
    return client.CustomObjectsApi(client.ApiClient(settings))
