"""Runs mediapipe's Face Mesh over a list of images; the only file that imports mediapipe, in an environment of its own.

In: a text file with one image path a line. Out: an .npz with, per image, (faces, 468, 3) landmarks in pixels.
"""

import sys
from pathlib import Path

import cv2
import mediapipe
import numpy as np


def main(listed, target):
    found = {}
    # static_image_mode: every image goes through detection; refine_landmarks off: the model that Vouchbox runs.
    mesh = mediapipe.solutions.face_mesh.FaceMesh(static_image_mode=True, max_num_faces=4, refine_landmarks=False)
    with mesh:
        for number, path in enumerate(Path(listed).read_text().splitlines()):
            image = cv2.cvtColor(cv2.imread(path), cv2.COLOR_BGR2RGB)
            height, width = image.shape[:2]
            faces = mesh.process(image).multi_face_landmarks or []
            points = [[(p.x * width, p.y * height, p.z * width) for p in face.landmark] for face in faces]
            found[str(number)] = np.array(points, dtype=np.float32).reshape(-1, 468, 3)
    np.savez(target, **found)


if __name__ == "__main__":
    main(*sys.argv[1:3])
