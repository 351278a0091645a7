"""``CustomObjectsApi`` as far as it is used: the real one if installed, else the same calls by httpx."""

from __future__ import annotations

import httpx


class RestError(Exception):
    def __init__(self, answer):
        super().__init__(answer.text)
        self.status, self.body, self.headers = answer.status_code, answer.text, answer.headers


class RestObjects:
    def __init__(self, url):
        self.http = httpx.Client(base_url=url)

    def get_namespaced_custom_object(self, group, version, namespace, plural, name):
        return self._call("GET", f"/apis/{group}/{version}/namespaces/{namespace}/{plural}/{name}")

    def create_namespaced_custom_object(self, group, version, namespace, plural, body):
        return self._call("POST", f"/apis/{group}/{version}/namespaces/{namespace}/{plural}", body)

    def patch_namespaced_custom_object(self, group, version, namespace, plural, name, body):
        return self._call("PATCH", f"/apis/{group}/{version}/namespaces/{namespace}/{plural}/{name}", body)

    def delete_namespaced_custom_object(self, group, version, namespace, plural, name, body):
        return self._call("DELETE", f"/apis/{group}/{version}/namespaces/{namespace}/{plural}/{name}", body)

    def close(self):
        self.http.close()

    def _call(self, verb, path, body=None):
        headers = {"Content-Type": "application/merge-patch+json"} if verb == "PATCH" else {}
        answer = self.http.request(verb, path, json=body, headers=headers)
        if answer.is_error:
            raise RestError(answer)
        return answer.json()


def objects_client(url):
    try:
        from kubernetes import client
    except ImportError:
        return RestObjects(url)
    return client.CustomObjectsApi(client.ApiClient(client.Configuration(host=url)))
