/** A mask over a picture: brush strokes and boxes, one after another, so that each can be taken back. */

/** @typedef {{size: number, points: number[][]} | {box: number[]}} Mark in pixels of the picture */

export class Mask {
  /** @type {Mark[]} */
  marks = [];

  /** @param {HTMLCanvasElement} canvas over the picture @param {() => number} share the brush's, of the short side */
  constructor(canvas, share, changed = () => {}) {
    this.canvas = canvas;
    this.changed = changed;
    canvas.addEventListener("pointerdown", (event) => {
      if (event.button) return;
      canvas.setPointerCapture(event.pointerId);
      this.marks.push({ size: share() * Math.min(canvas.width, canvas.height), points: [this.#place(event)] });
      this.#draw();
    });
    canvas.addEventListener("pointermove", (event) => {
      if (!canvas.hasPointerCapture(event.pointerId)) return;
      const last = this.marks.at(-1);
      for (const one of event.getCoalescedEvents?.() ?? [event]) last.points?.push(this.#place(one));
      this.#draw();
    });
    canvas.addEventListener("lostpointercapture", () => this.changed());
  }

  /** Begin anew, as large as the picture. */
  reset(width = this.canvas.width, height = this.canvas.height) {
    this.canvas.width = width;
    this.canvas.height = height;
    this.marks = [];
    this.changed();
  }

  undo() {
    this.marks.pop();
    this.#draw();
    this.changed();
  }

  /** A box by its shares of the picture, in any order. */
  box(x0, y0, x1, y1) {
    const { width, height } = this.canvas;
    this.marks.push({ box: [x0 * width, y0 * height, (x1 - x0) * width, (y1 - y0) * height] });
    this.#draw();
    this.changed();
  }

  /** As a PNG: white is what is marked. @returns {Promise<Blob>} */
  blob() {
    const { width, height } = this.canvas;
    const canvas = Object.assign(document.createElement("canvas"), { width, height });
    const context = canvas.getContext("2d");
    context.fillStyle = "#000";
    context.fillRect(0, 0, width, height);
    paint(context, this.marks, "#fff");
    return new Promise((done) => canvas.toBlob(done, "image/png"));
  }

  #place(event) {
    const seen = this.canvas.getBoundingClientRect();
    const scale = this.canvas.width / seen.width;
    return [(event.clientX - seen.left) * scale, (event.clientY - seen.top) * scale];
  }

  #draw() {
    const context = this.canvas.getContext("2d");
    context.clearRect(0, 0, this.canvas.width, this.canvas.height);
    paint(context, this.marks, "#a8321f");
  }
}

function paint(context, marks, colour) {
  Object.assign(context, { fillStyle: colour, strokeStyle: colour, lineCap: "round", lineJoin: "round" });
  for (const mark of marks) {
    if ("box" in mark) {
      context.fillRect(...mark.box);
      continue;
    }
    context.lineWidth = mark.size;
    context.beginPath();
    context.moveTo(...mark.points[0]);
    for (const point of mark.points) context.lineTo(...point); // the first one too: a touch is a dot
    context.stroke();
  }
}
