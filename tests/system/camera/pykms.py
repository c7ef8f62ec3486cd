"""Stands in for libkms' Python module, which picamera2 imports for a preview that a box does not show. For tests only.

As picamera2 imports it before it asks the camera for anything, it also makes up for what libcamera's virtual cameras
lack: the raw role, buffers of one plane, the status of a frame.
"""

import libcamera


class _Anything:
    def __getattr__(self, name: str) -> "_Anything":
        return self

    def __call__(self, *_arguments: object, **_named: object) -> "_Anything":
        return self


PixelFormat = _Anything()
Card = _Anything()

_generate = libcamera.Camera.generate_configuration
_ROLES = {libcamera.StreamRole.Raw: libcamera.StreamRole.Viewfinder}


def _without_raw(camera: libcamera.Camera, roles: list) -> object:
    return _generate(camera, [_ROLES.get(role, role) for role in roles])


libcamera.Camera.generate_configuration = _without_raw

_FrameBuffer = libcamera.FrameBuffer


def _with_two_planes(planes: list, *cookie: int) -> libcamera.FrameBuffer:
    """NV12 has two planes, and libcamera's virtual camera writes to both; picamera2 describes its buffers as one."""
    if len(planes) == 1:
        grey, colour, whole = planes[0], libcamera.FrameBuffer.Plane(), planes[0].length
        colour.fd = grey.fd  # grey stays the object that it is: picamera2 knows the buffer by its descriptor
        grey.length = whole * 2 // 3
        colour.offset, colour.length = grey.length, whole - grey.length
        planes = [grey, colour]
    return _FrameBuffer(planes, *cookie)


_with_two_planes.Plane = _FrameBuffer.Plane
libcamera.FrameBuffer = _with_two_planes

# libcamera 0.4.0's virtual camera leaves a frame's status unset.
libcamera.FrameMetadata.status = property(lambda _metadata: libcamera.FrameMetadata.Status.Success)
