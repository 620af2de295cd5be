"""Requests byte for byte: those whose framing is in doubt, and those that only look odd."""

POST = b"POST /attack HTTP/1.1\r\nHost: x\r\n"
GET = b"GET /attack HTTP/1.1\r\nHost: x\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
HELLO = b"5\r\nhello\r\n0\r\n\r\n"
SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"

LENGTHS = {
    "plus": b"+5",
    "minus": b"-5",
    "minus zero": b"-0",
    "space within": b"5 5",
    "hexadecimal": b"0x5",
    "exponent": b"5e0",
    "fraction": b"5.0",
    "list": b"5, 5",
    "list of two": b"5, 6",
    "semicolon": b"5;",
    "quoted": b'"5"',
    "empty": b"",
    "2**64 + 5": b"18446744073709551621",
    "30 digits": b"9" * 30,
    "vertical tab": b"5\x0b",
    "form feed": b"\x0c5",
    "no-break space": b"5\xa0",
    "digit of another script": "\N{ARABIC-INDIC DIGIT FIVE}".encode(),
    "NUL": b"5\0",
}
CODINGS = {
    "xchunked": (b"xchunked", 501),
    "chunk": (b"chunk", 501),
    "identity": (b"identity", 501),
    "gzip": (b"gzip", 501),
    "chunked, identity": (b"chunked, identity", 400),
    "chunked, chunked": (b"chunked, chunked", 400),
    "identity, chunked": (b"identity, chunked", 501),
    "gzip, chunked": (b"gzip, chunked", 501),
    "comma before": (b", chunked", 501),
    "comma behind": (b"chunked,", 400),
    "parameter": (b"chunked;q=1", 501),
    "quoted": (b'"chunked"', 501),
    "two words": (b"x chunked", 501),
    "word behind": (b"chunked x", 501),
    "vertical tab before": (b"\x0bchunked", 400),
    "vertical tab behind": (b"chunked\x0b", 400),
    "tab behind": (b"chunked\t", 400),
    "NUL": (b"chunked\0", 400),
    "empty": (b"", 400),
}
CODING_LINES = {
    "space before the colon": b"Transfer-Encoding : chunked",
    "tab before the colon": b"Transfer-Encoding\t: chunked",
    "space before the name": b" Transfer-Encoding: chunked",
    "NUL in the name": b"Transfer-Encoding\0: chunked",
    "folded": b"Transfer-Encoding:\r\n chunked",
    "in a folded line": b"X: y\r\n Transfer-Encoding: chunked",
    "behind a bare CR": b"X: y\rTransfer-Encoding: chunked",
    "behind a bare LF": b"X: y\nTransfer-Encoding: chunked",
    "twice": b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
    "chunked and identity": b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
}
CHUNKS = {
    "plus": b"+5\r\nhello\r\n0\r\n\r\n",
    "minus": b"-5\r\nhello\r\n0\r\n\r\n",
    "0x": b"0x5\r\nhello\r\n0\r\n\r\n",
    "underscore": b"0_5\r\nhello\r\n0\r\n\r\n",
    "space before": b" 5\r\nhello\r\n0\r\n\r\n",
    "space behind": b"5 \r\nhello\r\n0\r\n\r\n",
    "tab behind": b"5\t\r\nhello\r\n0\r\n\r\n",
    "2**64 + 5": b"10000000000000005\r\nhello\r\n0\r\n\r\n",
    "no size": b"\r\nhello\r\n0\r\n\r\n",
    "comma": b"5,\r\nhello\r\n0\r\n\r\n",
    "size ends in LF": b"5\nhello\r\n0\r\n\r\n",
    "size ends in CR": b"5\rhello\r\n0\r\n\r\n",
    "data end in LF": b"5\r\nhello\n0\r\n\r\n",
    "data end in CR": b"5\r\nhello\r0\r\n\r\n",
    "data without end": b"5\r\nhello0\r\n\r\n",
    "data longer": b"5\r\nhelloworld\r\n0\r\n\r\n",
    "data shorter": b"5\r\nhel\r\n0\r\n\r\n",
    "last ends in LF": b"5\r\nhello\r\n0\n\n",
    "end in LF": b"5\r\nhello\r\n0\r\n\n",
    "extension ends in LF": b"5;a\nhello\r\n0\r\n\r\n",
    "extension holds CR": b"5;a\rb\r\nhello\r\n0\r\n\r\n",
    "extension holds NUL": b"5;a\0\r\nhello\r\n0\r\n\r\n",
    "quoted extension holds LF": b'5;a="b\nc"\r\nhello\r\n0\r\n\r\n',
    "empty extension": b"5;\r\nhello\r\n0\r\n\r\n",
    "space before the extension": b"5 ;a=b\r\nhello\r\n0\r\n\r\n",
    "no last line": b"5\r\nhello\r\n0\r\n",
    "trailer without a colon": b"5\r\nhello\r\n0\r\nbad\r\n\r\n",
    "trailer of framing": b"5\r\nhello\r\n0\r\nContent-Length: 50\r\n\r\n",
}
HEADS = {
    "Content-Length, then Transfer-Encoding": POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n" + HELLO,
    "Transfer-Encoding, then Content-Length": POST + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n" + HELLO,
    "two lengths": POST + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
    "the same length twice": POST + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
    "length in small letters, and another": POST + b"content-length: 0\r\nContent-Length: 5\r\n\r\nhello",
    "chunked in HTTP/1.0": b"POST /attack HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + HELLO,
    "chunked in kept HTTP/1.0": b"POST /attack HTTP/1.0\r\nHost: x\r\nConnection: keep-alive\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n" + HELLO,
    "lines end in LF": b"GET /attack HTTP/1.1\nHost: x\n\n",
    "one line ends in LF": GET + b"X-A: b\n\r\n",
    "lines end in CR": b"GET /attack HTTP/1.1\rHost: x\r\r",
    "bare CR in a value": GET + b"X-A: b\rc\r\n\r\n",
    "folded header": GET + b"X-A: b\r\n c\r\n\r\n",
    "folded first header": b"GET /attack HTTP/1.1\r\n Host: x\r\n\r\n",
    "NUL in a value": GET + b"X-A: b\0c\r\n\r\n",
    "control character in a value": GET + b"X-A: b\x01c\r\n\r\n",
    "DEL in a value": GET + b"X-A: b\x7fc\r\n\r\n",
    "NUL in a name": GET + b"X\0A: b\r\n\r\n",
    "bytes beyond ASCII in a name": GET + "X-é: b\r\n\r\n".encode(),
    "space in a name": GET + b"X A: b\r\n\r\n",
    "bracket in a name": GET + b"X(A: b\r\n\r\n",
    "space before a colon": GET + b"X-A : b\r\n\r\n",
    "no name": GET + b": b\r\n\r\n",
    "no colon": GET + b"X-A\r\n\r\n",
    "space before the method": b" GET /attack HTTP/1.1\r\nHost: x\r\n\r\n",
    "space in the target": b"GET /att ack HTTP/1.1\r\nHost: x\r\n\r\n",
    "tab in the target": b"GET /att\tack HTTP/1.1\r\nHost: x\r\n\r\n",
    "control character in the target": b"GET /att\x01ack HTTP/1.1\r\nHost: x\r\n\r\n",
    "space behind the version": b"GET /attack HTTP/1.1 \r\nHost: x\r\n\r\n",
    "method in small letters": b"get /attack HTTP/1.1\r\nHost: x\r\n\r\n",
    "unknown method": b"SMUGGLE /attack HTTP/1.1\r\nHost: x\r\n\r\n",
    "HTTP/0.9": b"GET /attack\r\n",
    "HTTP/2 by prior knowledge": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(9),
    "HTTP/1.2": b"GET /attack HTTP/1.2\r\nHost: x\r\n\r\n",
    "HTTP/11": b"GET /attack HTTP/11\r\nHost: x\r\n\r\n",
    "another protocol": b"GET /attack ICE/1.0\r\nHost: x\r\n\r\n",
    "TLS": bytes.fromhex("16030100c8010000c40303") + bytes(32),
    "no host": b"GET /attack HTTP/1.1\r\n\r\n",
    "two hosts": b"GET /attack HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
    "the same host twice": b"GET /attack HTTP/1.1\r\nHost: x\r\nhost: x\r\n\r\n",
}
OTHER_STATUSES = {
    "HTTP/2.0 in a request line": (b"GET /attack HTTP/2.0\r\nHost: x\r\n\r\n", 505),
    "HTTP/0.9 in a request line": (b"GET /attack HTTP/0.9\r\nHost: x\r\n\r\n", 505),
    "CONNECT": (b"CONNECT x:1 HTTP/1.1\r\nHost: x:1\r\n\r\n" + SMUGGLED, 501),
    "method of RTSP": (b"DESCRIBE /attack RTSP/1.0\r\nHost: x\r\n\r\n", 501),
    "method of RTSP, as 1.1": (b"DESCRIBE /attack RTSP/1.1\r\nHost: x\r\n\r\n", 501),
    "method of ICE": (b"SOURCE /attack ICE/1.0\r\nHost: x\r\n\r\n", 501),
}
REFUSED = {
    **{
        f"length: {name}": (POST + b"Content-Length: " + value + b"\r\n\r\nhello", 400)
        for name, value in LENGTHS.items()
    },
    **{
        f"coding: {name}": (POST + b"Transfer-Encoding: " + value + b"\r\n\r\n" + HELLO, status)
        for name, (value, status) in CODINGS.items()
    },
    **{
        f"coding and length: {name}": (
            POST + b"Content-Length: 5\r\nTransfer-Encoding: " + value + b"\r\n\r\n" + HELLO,
            400,
        )
        for name, (value, _) in CODINGS.items()
    },
    **{f"coding line: {name}": (POST + line + b"\r\n\r\n" + HELLO, 400) for name, line in CODING_LINES.items()},
    **{
        f"length and coding line: {name}": (POST + b"Content-Length: 15\r\n" + line + b"\r\n\r\n" + HELLO, 400)
        for name, line in CODING_LINES.items()
    },
    **{f"chunks: {name}": (CHUNKED + body, 400) for name, body in CHUNKS.items()},
    **{f"head: {name}": (head, 400) for name, head in HEADS.items()},
    **OTHER_STATUSES,
}
SERVED = {
    "length": (POST + b"Content-Length: 5\r\n\r\nhello", b"hello"),
    "spaces around a length": (POST + b"Content-Length:  \t5 \t \r\n\r\nhello", b"hello"),
    "zeros before a length": (POST + b"Content-Length: 0005\r\n\r\nhello", b"hello"),
    "length of nothing": (POST + b"Content-Length: 0\r\n\r\n", b""),
    "no length": (POST + b"\r\n", b""),
    "body of GET": (GET + b"Content-Length: 5\r\n\r\nhello", b"hello"),
    "chunked body of GET": (GET + b"Transfer-Encoding: chunked\r\n\r\n" + HELLO, b"hello"),
    "chunked": (CHUNKED + HELLO, b"hello"),
    "chunked in capital letters": (POST + b"Transfer-Encoding: CHUNKED\r\n\r\n" + HELLO, b"hello"),
    "chunked without a space": (POST + b"Transfer-Encoding:chunked\r\n\r\n" + HELLO, b"hello"),
    "chunked and spaces": (POST + b"Transfer-Encoding: \t chunked  \r\n\r\n" + HELLO, b"hello"),
    "chunk extension": (CHUNKED + b'5;a=b;c="d"\r\nhello\r\n0;e\r\n\r\n', b"hello"),
    "zeros before a chunk size": (CHUNKED + b"00000000000000000000005\r\nhello\r\n000\r\n\r\n", b"hello"),
    "chunk size in capital letters": (CHUNKED + b"A\r\nhellohello\r\n0\r\n\r\n", b"hellohello"),
    "trailer": (CHUNKED + b"5\r\nhello\r\n0\r\nX-User: mallory\r\n\r\n", b"hello"),
    "request as a body": (POST + b"Content-Length: %d\r\n\r\n" % len(SMUGGLED) + SMUGGLED, SMUGGLED),
    "request as a chunk": (CHUNKED + b"%x\r\n%s\r\n0\r\n\r\n" % (len(SMUGGLED), SMUGGLED), SMUGGLED),
    "name of the coding with an underscore": (
        POST + b"Transfer_Encoding: chunked\r\nContent-Length: 15\r\n\r\n" + HELLO,
        HELLO,
    ),
    "name of the length with an underscore": (CHUNKED.replace(b"Host", b"Content_Length: 3\r\nHost") + HELLO, b"hello"),
    "length named as of one connection": (
        POST + b"Connection: content-length\r\nContent-Length: 5\r\n\r\nhello",
        b"hello",
    ),
    "coding named as of one connection": (
        POST + b"Connection: transfer-encoding\r\nTransfer-Encoding: chunked\r\n\r\n" + HELLO,
        b"hello",
    ),
    "empty lines before": (b"\r\n\r\n" + POST + b"Content-Length: 5\r\n\r\nhello", b"hello"),
    "two spaces in the request line": (b"GET  /attack  HTTP/1.1\r\nHost: x\r\n\r\n", b""),
    "expectation": (POST + b"Expect: 100-continue\r\nContent-Length: 5\r\n\r\nhello", b"hello"),
    "unknown expectation": (POST + b"Expect: 200-ok\r\nContent-Length: 5\r\n\r\nhello", b"hello"),
    "wish for another protocol that nobody named": (POST + b"Upgrade: h2c\r\nContent-Length: 5\r\n\r\nhello", b"hello"),
}
H2C = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n"
WEBSOCKET = b"Connection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
SERVED_LAST = {
    "wish to end": (GET + b"Connection: close\r\n\r\n", b""),
    "HTTP/1.0": (b"GET /attack HTTP/1.0\r\n\r\n", b""),
    "wish for HTTP/2": (GET + H2C + b"\r\n", b""),
    "wish for HTTP/2 with a body": (POST + H2C + b"Content-Length: 5\r\n\r\nhello", b"hello"),
    "wish for HTTP/2 with chunks": (POST + H2C + b"Transfer-Encoding: chunked\r\n\r\n" + HELLO, b"hello"),
    "wish for HTTP/2 with a trailer": (
        POST + H2C + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-User: mallory\r\n\r\n",
        b"hello",
    ),
    "wish for a WebSocket": (GET + WEBSOCKET + b"\r\n", b""),
    "wish for a WebSocket with a body": (GET + WEBSOCKET + b"Content-Length: 5\r\n\r\nhello", b"hello"),
}
