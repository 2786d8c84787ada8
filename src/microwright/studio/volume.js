// A volume seen from outside: one ray for each pixel of the canvas walks through the voxels to the first of phase 1
// (Amanatides & Woo, Eurographics 1987). Drag or arrow keys turn it; three sliders cut it. No library, no WebGL.
const canvas = element.querySelector('canvas');
const context = canvas.getContext('2d');
const sliders = [...element.querySelectorAll('input[type=range]')];
const both = element.querySelector('input[type=checkbox]');
const view = {turn: 0.6, tilt: 0.5, volume: null, drawn: false};
const SHADE = [0.72, 0.86, 1.0];
const DARK = [31, 111, 178], LIGHT = [226, 231, 236];

function unpack(value) {
  if (!value || !value.shape || value.shape.length !== 3) return null;
  const bytes = Uint8Array.from(atob(value.bits), (letter) => letter.charCodeAt(0));
  const voxels = new Uint8Array(value.shape[0] * value.shape[1] * value.shape[2]);
  for (let i = 0; i < voxels.length; i++) voxels[i] = (bytes[i >> 3] >> (7 - (i & 7))) & 1;
  return {shape: value.shape, voxels};
}

function directions() {
  const [st, ct, sp, cp] = [Math.sin(view.turn), Math.cos(view.turn), Math.sin(view.tilt), Math.cos(view.tilt)];
  return {right: [-st, ct, 0], up: [-ct * sp, -st * sp, cp], into: [-ct * cp, -st * cp, -sp]};
}

// Where the ray enters the box of size `high`: distance and axis, or null where it passes by.
function entry(origin, into, high) {
  let near = -Infinity, far = Infinity, axis = 0;
  for (let a = 0; a < 3; a++) {
    if (Math.abs(into[a]) < 1e-9) {
      if (origin[a] < 0 || origin[a] >= high[a]) return null;
      continue;
    }
    const first = -origin[a] / into[a], second = (high[a] - origin[a]) / into[a];
    const start = Math.min(first, second);
    if (start > near) { near = start; axis = a; }
    far = Math.min(far, Math.max(first, second));
  }
  return near < far ? {near, axis} : null;
}

// Face and phase of what the ray meets: [axis, phase], or null.
function hit(origin, into, high) {
  const start = entry(origin, into, high);
  if (!start) return null;
  const {shape, voxels} = view.volume;
  const at = [0, 1, 2].map((a) => {
    const p = Math.floor(origin[a] + into[a] * (start.near + 1e-6));
    return Math.max(0, Math.min(high[a] - 1, p));
  });
  const step = into.map(Math.sign);
  const next = at.map((p, a) => (into[a] ? (p + (step[a] > 0 ? 1 : 0) - origin[a]) / into[a] : Infinity));
  let axis = start.axis;
  for (;;) {
    const phase = voxels[(at[0] * shape[1] + at[1]) * shape[2] + at[2]];
    if (phase || both.checked) return [axis, phase];
    axis = next[0] < next[1] ? (next[0] < next[2] ? 0 : 2) : (next[1] < next[2] ? 1 : 2);
    at[axis] += step[axis];
    if (at[axis] < 0 || at[axis] >= high[axis]) return null;
    next[axis] += 1 / Math.abs(into[axis]);
  }
}

function draw() {
  view.drawn = false;
  if (!view.volume) { context.clearRect(0, 0, canvas.width, canvas.height); return; }
  const {shape} = view.volume;
  const high = shape.map((n, a) => Math.max(1, Math.round(n * sliders[a].value / 100)));
  const {right, up, into} = directions();
  const size = Math.hypot(...shape) * 1.02, edge = canvas.width;
  const image = context.createImageData(edge, edge);
  for (let row = 0; row < edge; row++) {
    for (let column = 0; column < edge; column++) {
      const x = (column / edge - 0.5) * size, y = (0.5 - row / edge) * size;
      const origin = [0, 1, 2].map((a) => shape[a] / 2 + x * right[a] + y * up[a] - size * into[a]);
      const met = hit(origin, into, high);
      if (!met) continue;
      const colour = met[1] ? DARK : LIGHT, shade = SHADE[met[0]];
      image.data.set([colour[0] * shade, colour[1] * shade, colour[2] * shade, 255], 4 * (row * edge + column));
    }
  }
  context.putImageData(image, 0, 0);
}

function redraw() {
  if (!view.drawn) { view.drawn = true; requestAnimationFrame(draw); }
}

function turn(dx, dy) {
  view.turn -= dx;
  view.tilt = Math.max(-1.5, Math.min(1.5, view.tilt + dy));
  redraw();
}

canvas.addEventListener('pointerdown', (event) => canvas.setPointerCapture(event.pointerId));
canvas.addEventListener('pointermove', (event) => { if (event.buttons) turn(event.movementX / 120, event.movementY / 120); });
canvas.addEventListener('keydown', (event) => {
  const moves = {ArrowLeft: [-0.1, 0], ArrowRight: [0.1, 0], ArrowUp: [0, 0.1], ArrowDown: [0, -0.1]};
  if (moves[event.key]) { event.preventDefault(); turn(...moves[event.key]); }
});
for (const slider of [...sliders, both]) slider.addEventListener('input', redraw);
function load() { view.volume = unpack(props.value); element.querySelector('.mw-volume').hidden = !view.volume; redraw(); }
watch('value', load);
load();
