"use strict";
const form = document.getElementById("filter");
const input = document.getElementById("words");
const shown = document.getElementById("shown");
const cards = [...document.querySelectorAll("article")];
const sections = [...document.querySelectorAll("section")];

function filter() {
  const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
  let count = 0;
  for (const card of cards) {
    card.hidden = !words.every((word) => card.dataset.words.includes(word));
    count += !card.hidden;
  }
  for (const section of sections) {
    section.hidden = !section.querySelector("article:not([hidden])");
  }
  shown.textContent = words.length ? `${count} of ${cards.length} cells` : "";
}

form.hidden = false;
form.addEventListener("submit", (event) => event.preventDefault());
input.addEventListener("input", filter);
filter();
