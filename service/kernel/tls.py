"""TLS of Kafang's own port, for where no proxy on the same host ends it."""

import ssl
from pathlib import Path

from service.kernel import logs


class Certificate:
    """A certificate with those that lead to its authority, and its key, as PEM files.

    They may be exchanged while Kafang serves: connections that come later have the new one.
    Raises OSError (`ssl.SSLError` is one) for files that can't be used, or not together.
    """

    def __init__(self, certificate: str, key: str) -> None:
        self._files = Path(certificate), Path(key)
        self._seen = self._ages()
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.minimum_version = ssl.TLSVersion.TLSv1_2
        self.context.load_cert_chain(*self._files)

    def look(self) -> None:
        """Take the files that are there now, if they are others and belong together."""
        try:
            ages = self._ages()
            if ages == self._seen:
                return
            # A context of its own first: half of a new pair would leave this one with neither.
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(*self._files)
            self.context.load_cert_chain(*self._files)
            self._seen = ages
        except OSError as error:
            logs.log.error("the new certificate can't be used", error=str(error))

    def _ages(self) -> tuple[int, ...]:
        return tuple(file.stat().st_mtime_ns for file in self._files)
