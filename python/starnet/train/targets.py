import numpy as np


def instance_targets(labels):
    from scipy import ndimage as ndi

    labels = np.where(np.bincount(labels.ravel())[labels] >= 4, labels, 0)
    heat, dist = np.zeros(labels.shape, np.float32), np.zeros(labels.shape, np.float32)
    yy, xx = np.mgrid[: labels.shape[0], : labels.shape[1]]
    for k, box in enumerate(ndi.find_objects(labels), 1):
        if box is None:
            continue
        m = np.pad(labels[box] == k, 1)
        d = ndi.distance_transform_edt(m)[1:-1, 1:-1]
        m = m[1:-1, 1:-1]
        dist[box][m] = (d / d.max())[m]
        cy, cx = (round(c) for c in ndi.center_of_mass(m))
        if not m[cy, cx]:
            cy, cx = np.unravel_index(d.argmax(), d.shape)
        cy, cx = cy + box[0].start, cx + box[1].start
        near = np.s_[max(0, cy - 6) : cy + 7, max(0, cx - 6) : cx + 7]
        heat[near] = np.maximum(heat[near], np.exp(-((yy[near] - cy) ** 2 + (xx[near] - cx) ** 2) / 4.5))
    return np.stack([labels > 0, heat, dist]).astype(np.float32)
