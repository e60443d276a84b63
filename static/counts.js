// The counts of unread messages, in every list of channels and in the title. What
// the server sends is everything that waits.
import { $ } from './page.js';

const fill = (place, text) => {
	if (!place || (place.querySelector('b')?.textContent || '') === text) return;
	place.replaceChildren();
	if (!text) return;
	const count = document.createElement('b');
	const word = document.createElement('span');
	count.textContent = text;
	word.className = 'unseen';
	word.textContent = $('waiting').dataset.word;
	place.append(count, word);
};

// total adds counts up. They stop at 99+.
export const total = texts => {
	const sum = texts.reduce((n, text) => n + parseInt(text, 10), 0);
	return texts.some(text => text.endsWith('+')) || sum > 99 ? '99+' : sum ? String(sum) : '';
};

export const startCounts = () => {
	const title = document.title.replace(/^\(\d+\+?\) /, '');
	const count = () => {
		const waiting = new Map([...$('news').children].map(c => [c.value, c.textContent]));
		for (const item of $('channels').children) fill(item.querySelector('.count'), waiting.get(item.id.slice(2)) || '');
		const all = total([...waiting.values()]);
		fill($('waiting'), all);
		document.title = all ? `(${all}) ${title}` : title;
	};
	// The element is replaced with each piece of news; a list may grow.
	const watch = new MutationObserver(count);
	watch.observe($('news').parentElement, { childList: true });
	watch.observe($('channels'), { childList: true });
};
