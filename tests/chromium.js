// The pieces of text below an element that can be seen, each with its contrast to what
// is behind it: (L1 + 0.05) / (L2 + 0.05) of relative luminances, WCAG 2.1, 1.4.3.
root => {
  const pen = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
  const known = new Map();
  // Any colour of CSS, as the browser itself paints it.
  const rgba = color => {
    if (!known.has(color)) {
      pen.clearRect(0, 0, 1, 1);
      pen.fillStyle = color;
      pen.fillRect(0, 0, 1, 1);
      const [r, g, b, a] = pen.getImageData(0, 0, 1, 1).data;
      known.set(color, [r, g, b, a / 255]);
    }
    return known.get(color);
  };
  const over = ([r, g, b, a], below) =>
    [r, g, b].map((level, i) => a * level + (1 - a) * below[i]);
  const luminance = color => color
    .map(level => level / 255)
    .map(x => (x <= 0.04045 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4))
    .reduce((sum, x, i) => sum + x * [0.2126, 0.7152, 0.0722][i], 0.05);
  const paper = getComputedStyle(document.documentElement).colorScheme;
  const dark = matchMedia("(prefers-color-scheme: dark)").matches && /dark/.test(paper);
  const behind = element => element
    ? over(rgba(getComputedStyle(element).backgroundColor), behind(element.parentElement))
    : dark ? [18, 18, 18] : [255, 255, 255];
  const opacity = element =>
    element ? getComputedStyle(element).opacity * opacity(element.parentElement) : 1;
  const found = [], range = document.createRange();
  const walk = document.createTreeWalker(document.querySelector(root), NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const element = walk.currentNode.parentElement, said = walk.currentNode.data.trim();
    range.selectNodeContents(walk.currentNode);
    const { width, height } = range.getBoundingClientRect();
    const seen = element.checkVisibility({ opacityProperty: true, visibilityProperty: true });
    if (!said || !seen || Math.min(width, height) < 2) continue;
    const style = getComputedStyle(element), below = behind(element);
    const [r, g, b, a] = rgba(style.color);
    const ink = over([r, g, b, a * opacity(element)], below);
    const [less, more] = [ink, below].map(luminance).sort((x, y) => x - y);
    found.push({
      contrast: more / less, size: parseFloat(style.fontSize), tag: element.tagName,
      name: element.className, said: said.slice(0, 60),
    });
  }
  return found;
}
