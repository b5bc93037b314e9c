"""Protocol buffers: a message is a row of (field number, value), and all that its bytes say of it.

The encoding is that of protobuf.dev/programming-guides/encoding.  What a number means (an int, a
float's bits, the length of what follows) only the message's definition tells.
"""

import struct


def fields(data):
    """(field number, value) pairs of a protocol buffer: int or bytes.

    ValueError if the bytes are none.
    """
    at = 0
    while at < len(data):
        tag, at = varint(data, at)
        if tag & 7 == 0:
            value, at = varint(data, at)
        elif tag & 7 in (1, 5):
            n = 8 if tag & 7 == 1 else 4
            value = int.from_bytes(data[at : at + n], "little")
            at += n
        elif tag & 7 == 2:
            n, at = varint(data, at)
            value = data[at : at + n]
            at += n
        else:
            raise ValueError(f"wire type {tag & 7}")
        if at > len(data):
            raise ValueError("a field ends beyond the end of the message")
        yield tag >> 3, value


def message(data, kinds):
    """{field number: value} of the fields in `kinds`, the last one where a field is repeated.

    kinds: {field number: int or bytes}; ValueError if a field is of the other kind.
    """
    values = {}
    for number, value in fields(data):
        if number in kinds:
            if not isinstance(value, kinds[number]):
                raise ValueError(f"field {number} is no {kinds[number].__name__}")
            values[number] = value
    return values


def repeated(data, number):
    """The values of one field, all of them messages or texts."""
    values = [value for n, value in fields(data) if n == number]
    if not all(isinstance(value, bytes) for value in values):
        raise ValueError(f"field {number} is no bytes")
    return values


def varint(data, at):
    """A number in groups of seven bits, the lowest first, and where the next thing begins."""
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            raise ValueError("a number ends beyond the end of the message")
        byte = data[at]
        value |= (byte & 127) << shift
        at += 1
        if byte < 128 and value < 1 << 64:
            return value, at
    raise ValueError("a number of more than 64 bits")


def write(*fields):
    """The bytes of a message, from (field number, value) pairs.

    An int becomes a varint, a float 32 bits; str and bytes stand as they are.
    """
    data = bytearray()
    for number, value in fields:
        if isinstance(value, int):
            data += _number(number << 3) + _number(value)
        elif isinstance(value, float):
            data += _number(number << 3 | 5) + struct.pack("<f", value)
        else:
            value = value.encode() if isinstance(value, str) else value
            data += _number(number << 3 | 2) + _number(len(value)) + value
    return bytes(data)


def _number(value):
    """A whole number as varint, a negative one as its 64-bit two's complement."""
    value &= (1 << 64) - 1
    groups = bytearray()
    while value > 127:
        groups.append(value & 127 | 128)
        value >>= 7
    groups.append(value)
    return bytes(groups)
