"""A local AWS on a loopback port: moto with the operations that our stacks need and moto lacks.

An error of moto's own is no answer of AWS. Terraform would repeat such a request for minutes, and a second attempt that
succeeds would hide that the first did not: it is answered once and for all, and fails the test with its traceback.
"""

import json
import re
import sys
import threading
import traceback
import urllib.request
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import escape

import boto3
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import make_server
from werkzeug.wsgi import ClosingIterator

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

from tests.support import moto_account, moto_budgets, moto_cloudcontrol, moto_eks, moto_extensions

REGION = "us-east-1"

# Read beside cdk.tf.json as an override: a bucket name cannot be a subdomain of a loopback address, so S3 is asked with
# the bucket in the path. The provider reads this setting from nowhere else, and the document under test stays as it is.
PROVIDER_OVERRIDE = {"provider": {"aws": [{"s3_use_path_style": True}]}}


XML_ERRORS = {"s3": "<Error>{}</Error>", "ec2": "<Response><Errors><Error>{}</Error></Errors></Response>"}
FORM = "application/x-www-form-urlencoded"


@dataclass(frozen=True)
class MotoServer:
    """A running server.

    Attributes:
        url: where it listens.
        env: variables with which Terraform's AWS provider, boto3 and the AWS command line talk to it.
        errors: requests since the last reset that moto failed at, each with its traceback.
    """

    url: str
    errors: list[str] = field(default_factory=list)

    @property
    def env(self) -> Mapping[str, str]:
        """Return the environment of a client: endpoint, region and dummy credentials."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_REGION": REGION,
            "AWS_EC2_METADATA_DISABLED": "true",
            # The provider's own 25 attempts turn one lasting error into most of an hour.
            "AWS_MAX_ATTEMPTS": "6",
        }

    def client(self, service: str) -> Any:
        """Return a boto3 client of one service of this account."""
        return boto3.client(
            service,
            endpoint_url=self.url,
            region_name=REGION,
            aws_access_key_id="testing",
            aws_secret_access_key="testing",
        )

    def reset(self) -> None:
        """Forget everything created so far, as in a new account."""
        request = urllib.request.Request(f"{self.url}/moto-api/reset", method="POST")  # noqa: S310
        urllib.request.urlopen(request, timeout=120).close()  # noqa: S310
        self.errors.clear()

    def check(self) -> None:
        """See that moto could answer all that it was asked since the last reset.

        Raises:
            AssertionError: it could not; extend it in tests/support, or mend the request.
        """
        assert not self.errors, "moto failed at:\n" + "\n".join(self.errors)

    @staticmethod
    def write_override(folder: Path) -> None:
        """Write the provider settings a local server needs into a Terraform override file beside the document."""
        (folder / "moto_override.tf.json").write_text(json.dumps(PROVIDER_OVERRIDE))


class OneByOne:
    """moto, asked for one thing at a time: its backends are dictionaries that no lock protects.

    What it fails at is kept in `errors`, and answered with a status that no client of AWS asks again for.
    """

    def __init__(self, application: "WSGIApplication", errors: list[str]) -> None:
        self._application = application
        self._errors = errors
        self._turn = threading.Lock()

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        with self._turn:
            try:
                # Read to its end: a body that is made while it is sent would be made out of turn.
                with closing(ClosingIterator(self._application(environ, start_response))) as answer:
                    return list(answer)
            except Exception as error:
                operation = environ.get("HTTP_X_AMZ_TARGET", "")
                asked = f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']} {operation}".rstrip()
                self._errors.append(f"{asked}\n{traceback.format_exc()}")
                start_response("501 Not Implemented", [("x-amzn-ErrorType", "MotoFailed")], sys.exc_info())
                return [_error(environ, f"{type(error).__name__}: {error}").encode()]


def _error(environ: "WSGIEnvironment", message: str) -> str:
    """An error as clients of the service read it: the protocols differ (Smithy, AWS protocols)."""
    signed = re.search(r"Credential=[^/]+/\d+/[^/]+/([^/]+)/", environ.get("HTTP_AUTHORIZATION", ""))
    service = signed[1] if signed else ""
    if service not in XML_ERRORS and not environ.get("CONTENT_TYPE", "").startswith(FORM):
        return json.dumps({"__type": "MotoFailed", "message": message})
    frame = XML_ERRORS.get(service, "<ErrorResponse><Error>{}</Error></ErrorResponse>")
    return frame.format(f"<Code>MotoFailed</Code><Message>{escape(message)}</Message>")


@contextmanager
def serve() -> Iterator[MotoServer]:
    """Run a server on a free loopback port until the block ends."""
    moto_extensions.install()
    moto_eks.install()
    moto_budgets.install()
    moto_account.install()
    moto_cloudcontrol.install()
    errors: list[str] = []
    application = OneByOne(DomainDispatcherApplication(create_backend_app), errors)
    server = make_server("127.0.0.1", 0, application, threaded=True, request_handler=MotoRequestHandler)
    listening = threading.Thread(target=server.serve_forever, daemon=True)
    listening.start()
    try:
        yield MotoServer(f"http://127.0.0.1:{server.port}", errors)
    finally:
        server.shutdown()
        listening.join()
        server.server_close()
