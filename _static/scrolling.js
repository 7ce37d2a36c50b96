// What scrolls within itself (code, tables, formulas, figures) can be reached
// and scrolled by keyboard, and is no stop for the keyboard when all of it shows.
document.addEventListener("DOMContentLoaded", () => {
  const boxes = "pre, .math, figure, .output, .pst-scrollable-table-container";
  const update = ({ target }) => {
    if (target.scrollWidth > target.clientWidth + 1) target.tabIndex = 0;
    else target.removeAttribute("tabindex");
  };
  const observer = new ResizeObserver((entries) => entries.forEach(update));
  document.querySelectorAll(boxes).forEach((box) => {
    if (!/auto|scroll/.test(getComputedStyle(box).overflowX)) return;
    observer.observe(box);
    // a formula is set, or a picture comes, without a change of its box
    if (box.firstElementChild) observer.observe(box.firstElementChild);
  });
});
