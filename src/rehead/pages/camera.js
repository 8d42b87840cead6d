// A camera: opened with a choice of device, listed, looked through, stopped.

export class Camera {
  #opening = 0; // the last start or stop: what was begun before it comes too late

  // `ended` is called where the camera goes away by itself
  constructor(video, ended = () => {}) {
    this.video = video;
    this.ended = ended;
    this.stream = null;
  }

  // Whether this browser lets the page have one: only of localhost and https addresses
  static get available() {
    return Boolean(navigator.mediaDevices && navigator.mediaDevices.getUserMedia);
  }

  get on() {
    return this.stream !== null;
  }

  get device() {
    return this.on ? this.stream.getVideoTracks()[0].getSettings().deviceId : "";
  }

  // As in a mirror, except for a camera that looks away from the person
  get mirrored() {
    return this.on && this.stream.getVideoTracks()[0].getSettings().facingMode !== "environment";
  }

  // False where another start or a stop came in between; what getUserMedia throws where there is none
  async start(device = "") {
    this.stop();
    const mine = (this.#opening += 1);
    const wish = device ? { deviceId: { exact: device } } : { facingMode: "environment" };
    const stream = await navigator.mediaDevices.getUserMedia({ video: wish, audio: false });
    if (mine !== this.#opening) {
      stream.getTracks().forEach((track) => track.stop());
      return false;
    }
    this.stream = stream;
    stream.getVideoTracks()[0].addEventListener("ended", () => {
      if (this.stream !== stream) return;
      this.stop();
      this.ended();
    });
    this.video.srcObject = stream;
    await this.video.play().catch((error) => {
      if (mine === this.#opening) throw error; // a stop interrupts it
    });
    return mine === this.#opening;
  }

  stop() {
    this.#opening += 1;
    if (this.stream === null) return;
    this.stream.getTracks().forEach((track) => track.stop());
    this.stream = null;
    this.video.srcObject = null;
  }

  // All cameras, as {id, label}; labels are "" before one was allowed
  static async devices() {
    const all = await navigator.mediaDevices.enumerateDevices();
    return all.filter((one) => one.kind === "videoinput").map((one) => ({ id: one.deviceId, label: one.label }));
  }

  // A <select> of the cameras, with the one that is on chosen; true where there are several
  async list(select, name) {
    const cameras = await Camera.devices();
    select.replaceChildren(...cameras.map((one, n) => new Option(one.label || name(n + 1), one.id)));
    select.value = this.device;
    return cameras.length > 1;
  }

  // What it sees, as pixels
  frame() {
    return createImageBitmap(this.video);
  }

  // What it sees, as a JPEG, not mirrored; its longer side is `most` pixels or less. Browsers' own quality is 0.92
  jpeg({ most = 1280, quality = 0.92 } = {}) {
    const { videoWidth, videoHeight } = this.video;
    const scale = Math.min(1, most / Math.max(videoWidth, videoHeight));
    const canvas = document.createElement("canvas");
    canvas.width = Math.round(videoWidth * scale);
    canvas.height = Math.round(videoHeight * scale);
    canvas.getContext("2d").drawImage(this.video, 0, 0, canvas.width, canvas.height);
    return new Promise((resolve, reject) => {
      canvas.toBlob((blob) => (blob ? resolve(blob) : reject(Error("no picture"))), "image/jpeg", quality);
    });
  }
}

// Why `start` failed, the end of a key of the table of words: "camera." and this; "" for what is not listed
export function whyNot(error) {
  const known = { NotAllowedError: "denied", NotFoundError: "none", OverconstrainedError: "none", NotReadableError: "busy" };
  return known[error.name] || "";
}
