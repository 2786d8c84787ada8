// Paint phase 1, erase it, pixel by pixel: with a pointer, or with arrow keys and the space bar.
const canvas = element.querySelector('canvas');
const context = canvas.getContext('2d');
const slice = element.querySelector('.mw-slice input');
const brush = element.querySelector('.mw-brush');
const state = {grid: null, shape: null, cursor: [0, 0], paint: 1, stroke: false};

function unpack(value) {
  if (!value || !value.shape) return;
  const bytes = Uint8Array.from(atob(value.bits), (letter) => letter.charCodeAt(0));
  const count = value.shape.reduce((a, b) => a * b, 1);
  state.shape = value.shape;
  state.grid = new Uint8Array(count);
  for (let i = 0; i < count; i++) state.grid[i] = (bytes[i >> 3] >> (7 - (i & 7))) & 1;
  const layers = value.shape[2] || 1;
  element.querySelector('.mw-slice').hidden = layers === 1;
  slice.max = layers - 1;
  if (Number(slice.value) >= layers) slice.value = 0;
  state.cursor = state.cursor.map((at, a) => Math.min(at, value.shape[a] - 1));
  draw();
}

function pack() {
  const bytes = new Uint8Array(Math.ceil(state.grid.length / 8));
  state.grid.forEach((phase, i) => { if (phase) bytes[i >> 3] |= 128 >> (i & 7); });
  let text = '';
  for (let i = 0; i < bytes.length; i += 4096) text += String.fromCharCode(...bytes.subarray(i, i + 4096));
  return {shape: state.shape, bits: btoa(text)};
}

function place(x, y) {
  const layers = state.shape[2] || 1;
  return (x * state.shape[1] + y) * layers + (layers === 1 ? 0 : Number(slice.value));
}

function draw() {
  const [nx, ny] = state.shape;
  const pixel = Math.max(1, Math.floor(512 / Math.max(nx, ny)));
  canvas.width = nx * pixel;
  canvas.height = ny * pixel;
  context.fillStyle = '#ffffff';
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.fillStyle = '#000000';
  for (let x = 0; x < nx; x++)
    for (let y = 0; y < ny; y++)
      if (state.grid[place(x, y)]) context.fillRect(x * pixel, (ny - 1 - y) * pixel, pixel, pixel);
  if (document.activeElement === canvas) {
    context.strokeStyle = '#d9822b';
    context.lineWidth = 2;
    const half = Math.floor(brush.value / 2), [cx, cy] = state.cursor;
    context.strokeRect((cx - half) * pixel, (ny - 1 - cy - half) * pixel, brush.value * pixel, brush.value * pixel);
  }
}

function dab() {
  const size = Number(brush.value), half = Math.floor(size / 2), [nx, ny] = state.shape;
  for (let dx = 0; dx < size; dx++)
    for (let dy = 0; dy < size; dy++) {
      const x = (state.cursor[0] - half + dx + nx) % nx, y = (state.cursor[1] + half - dy + ny) % ny;
      state.grid[place(x, y)] = state.paint;
    }
  draw();
}

function done() {
  if (!state.stroke) return;
  state.stroke = false;
  props.value = pack();
  trigger('input');
}

function under(event) {
  const box = canvas.getBoundingClientRect(), [nx, ny] = state.shape;
  const x = Math.floor((event.clientX - box.left) / box.width * nx);
  const y = ny - 1 - Math.floor((event.clientY - box.top) / box.height * ny);
  return [Math.max(0, Math.min(nx - 1, x)), Math.max(0, Math.min(ny - 1, y))];
}

function chosen(event) {
  const erase = element.querySelector('.mw-erase').checked || event.button === 2 || event.shiftKey;
  return erase ? 0 : 1;
}

canvas.addEventListener('contextmenu', (event) => event.preventDefault());
canvas.addEventListener('pointerdown', (event) => {
  if (!state.grid) return;
  canvas.focus();
  canvas.setPointerCapture(event.pointerId);
  state.paint = chosen(event);
  state.cursor = under(event);
  state.stroke = true;
  dab();
});
canvas.addEventListener('pointermove', (event) => {
  if (!state.stroke) return;
  state.cursor = under(event);
  dab();
});
canvas.addEventListener('pointerup', done);
canvas.addEventListener('pointercancel', done);
canvas.addEventListener('focus', () => state.grid && draw());
canvas.addEventListener('blur', () => state.grid && draw());
canvas.addEventListener('keydown', (event) => {
  if (!state.grid) return;
  const moves = {ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1]};
  if (moves[event.key]) {
    const move = moves[event.key];
    state.cursor = state.cursor.map((at, a) => (at + move[a] + state.shape[a]) % state.shape[a]);
    draw();
  } else if (event.key === ' ') {
    state.paint = 1 - state.grid[place(...state.cursor)];
    state.stroke = true;
    dab();
    done();
  } else return;
  event.preventDefault();
});
slice.addEventListener('input', () => state.grid && draw());
brush.addEventListener('input', () => state.grid && draw());
watch('value', () => unpack(props.value));
unpack(props.value);
