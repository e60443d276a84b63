// The composer: the keys that send, a box as high as its text, and the way of a
// text from the box to the outbox.
import { $, local } from './page.js';
import { leave, newKey, startOutbox } from './outbox.js';
import { startDrafts } from './drafts.js';

const SLOW = 300; // ms for an answer, after which the text leaves the box by itself

// grow makes the box as high as its text, where CSS does not.
const grow = () => {
	const box = $('body');
	if (CSS.supports('field-sizing', 'content')) return;
	box.style.resize = 'none';
	box.style.minHeight = box.style.height = '0';
	box.style.height = box.scrollHeight + 'px';
	box.style.minHeight = '';
};

// rest returns what was typed since a text was sent: that is the next message.
export const rest = (typed, sent) => {
	const [now, then] = [typed, sent].map(text => text.replace(/\r\n?/g, '\n'));
	return now.startsWith(then) ? now.slice(then.length) : now;
};

export const startComposer = (line, view) => {
	const composer = $('composer');
	const box = $('body');
	const key = $('key');
	const drawer = `hubbub:${composer.dataset.user}:${composer.dataset.channel}:`;
	key.value = newKey(); // the page may be an old one that was kept
	startKeys();
	box.addEventListener('input', grow);
	if (!line) return startEarlierComposer(drawer);

	const outbox = startOutbox(drawer, line);
	const drafts = startDrafts(drawer, outbox.has, grow);
	let current = null; // the post under way whose text the box still holds
	let slow;

	// release takes what was sent out of the box.
	const release = () => {
		if (!current) return;
		clearTimeout(slow);
		const { fields } = current;
		const item = current;
		current = null;
		drafts.drop(fields.key);
		drafts.drop(key.value);
		key.value = newKey();
		box.value = rest(box.value, fields.body);
		drafts.keep();
		clearError();
		grow();
		outbox.show(item);
		box.focus();
		view.goToNewest();
	};
	const clearError = () => {
		box.removeAttribute('aria-invalid');
		$('composer-error').textContent = '';
	};
	// settle is told of the answer to the post whose text the box still holds.
	const settle = answer => {
		if (answer.verdict !== 'refused' || !current || current.error === undefined) return release();
		clearTimeout(slow);
		$('composer-error').replaceChildren(error(current.error));
		box.setAttribute('aria-invalid', 'true');
		outbox.forget(current);
		current = null;
	};
	const error = text => {
		const p = document.createElement('p');
		p.className = 'error';
		p.textContent = text;
		return p;
	};
	composer.addEventListener('submit', event => {
		event.preventDefault();
		release(); // a second click has nothing to send, unless more was typed
		if (!box.value.trim()) return box.focus();
		const alone = outbox.isEmpty();
		const fields = Object.fromEntries(new FormData(composer));
		current = outbox.add(fields, settle);
		// While others wait, it waits behind them.
		if (alone) slow = setTimeout(release, SLOW);
		else release();
	});
	outbox.addEventListener('edit', event => {
		box.value = box.value ? `${box.value}\n${event.detail}` : event.detail;
		drafts.keep();
		grow();
		box.focus();
	});
	return outbox;
};

// On a page of earlier messages the post leaves with the page: that of the room
// has it in its outbox. Where nothing can be kept the form goes as it is.
const startEarlierComposer = drawer => {
	const composer = $('composer');
	const drafts = startDrafts(drawer, () => false, grow);
	composer.addEventListener('submit', event => {
		const fields = Object.fromEntries(new FormData(composer));
		if (!fields.body.trim()) {
			event.preventDefault();
			return;
		}
		if (!leave(drawer, fields)) return;
		event.preventDefault();
		drafts.drop(fields.key);
		location.assign(composer.action.replace(/\/messages$/, ''));
	});
};

// Whether Enter sends is this browser's habit.
const startKeys = () => {
	const box = $('body');
	const enterSends = $('enter-sends');
	enterSends.checked = local.get('enter-sends') === 1;
	enterSends.addEventListener('change', () => local.set('enter-sends', enterSends.checked ? 1 : 0));
	box.addEventListener('keydown', event => {
		// 229: an input method is composing; its Enter is not ours.
		if (event.key !== 'Enter' || event.isComposing || event.keyCode === 229) return;
		if (event.ctrlKey || event.metaKey || (enterSends.checked ? !event.shiftKey : event.shiftKey)) {
			event.preventDefault();
			if (box.value.trim()) $('composer').requestSubmit();
		}
	});
};
