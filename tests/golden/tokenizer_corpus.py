"""The corpus of the tokenizer goldens: varied lines, the same on every run. Lines are split at LF only."""
import random
import unicodedata

SENTENCES = """
The quick brown fox jumps over the lazy dog, doesn't it? They're sure we'll say I'd've won; it's 12:45 o'clock.
IT'S NOT 'S OR 'T, SHE'LL SAY 'RE AND 'VE, I'M SURE HE'D AGREE: DON'T SHOUT!
Portez ce vieux whisky au juge blond qui fume — « à l’œuvre », dit-il, 3 € s'il vous plaît.
Falsches Üben von Xylophonmusik quält jeden größeren Zwerg; Straße, GROẞ, 1.234,56 €.
El pingüino Wenceslao hizo kilómetros bajo exhaustiva lluvia y frío; ¿qué tal? ¡Añoraba a su cachorro!
Pchnąć w tę łódź jeża lub ośm skrzyń fig. Zażółć gęślą jaźń.
Příliš žluťoučký kůň úpěl ďábelské ódy.
Pijamalı hasta yağız şoföre çabucak güvendi. İstanbul'da ıssız bir gece.
Do bạch kim rất quý nên sẽ dùng để lắp vô xương. Nguyễn Thị Hồng Ánh sống ở Huế.
Kæmi ný öxi hér ykist þjófum nú bæði víl og ádrepa.
Árvíztűrő tükörfúrógép; jó foxim és don Quijote húszwattos lámpánál ülve.
Törkylempijävongahdus on pitkä sana.
Ξεσκεπάζω την ψυχοφθόρα βδελυγμία. Ὦ ξεῖν’, ἀγγέλλειν Λακεδαιμονίοις ὅτι τῇδε κείμεθα.
Съешь же ещё этих мягких французских булок, да выпей чаю. 25 рублей!
Чуєш їх, доцю, га? Кумедна ж ти, прощайся без ґольфів!
Љубазни фењерџија чађавог лица хоће да ми покаже штос.
Բել դղյակի ձախ ժամն օֆ ազգությանը ցպահանջ չճշտած վնաս էր եւ փառք։
ყველა ადამიანი იბადება თავისუფალი და თანასწორი თავისი ღირსებითა და უფლებებით.
דג סקרן שט בים מאוכזב ולפתע מצא חברה. שָׁלוֹם עֲלֵיכֶם
نص حكيم له سر قاطع وذو شأن عظيم مكتوب على ثوب أخضر ومغلف بجلد أزرق. السَّلَامُ عَلَيْكُمْ ١٢٣٤٥٦٧٨٩٠
همهٔ افراد بشر آزاد به دنیا می‌آیند و از لحاظ حیثیت و حقوق با هم برابرند. ۱۲۳۴۵
تمام انسان آزاد اور حقوق و عزت کے اعتبار سے برابر پیدا ہوئے ہیں۔
ܒܪܫܝܬ ܐܝܬܘܗܝ ܗܘܐ ܡܠܬܐ
ހުރިހާ އިންސާނުން ވެސް އުފަންވަނީ މިނިވަންކަމުގައެވެ.
सभी मनुष्यों को गौरव और अधिकारों के मामले में जन्मजात स्वतन्त्रता और समानता प्राप्त है। १२३४५
সমস্ত মানুষ স্বাধীনভাবে সমান মর্যাদা এবং অধিকার নিয়ে জন্মগ্রহণ করে। ১২৩৪
ਸਾਰਾ ਮਨੁੱਖੀ ਪਰਿਵਾਰ ਆਪਣੀ ਮਹਿਮਾ, ਸ਼ਾਨ ਅਤੇ ਹੱਕਾਂ ਦੇ ਪੱਖੋਂ ਜਨਮ ਤੋਂ ਹੀ ਆਜ਼ਾਦ ਹੈ।
પ્રતિષ્ઠા અને અધિકારોની દૃષ્ટિએ સર્વ માનવો જન્મથી સ્વતંત્ર અને સમાન હોય છે. ૧૨૩
ସବୁ ମନୁଷ୍ୟ ଜନ୍ମକାଳରୁ ସ୍ୱାଧୀନ ଏବଂ ମର୍ଯ୍ୟାଦା ଓ ଅଧିକାରରେ ସମାନ।
மனிதப் பிறவியினர் சகலரும் சுதந்திரமாகவே பிறக்கின்றனர்; ௧௨௩
ప్రతిపత్తిస్వత్వముల విషయమున మానవులెల్లరును జన్మతః స్వతంత్రులును సమానులును నగుదురు. ౧౨౩
ಎಲ್ಲಾ ಮಾನವರೂ ಸ್ವತಂತ್ರರಾಗಿಯೇ ಜನಿಸಿದ್ದಾರೆ. ೧೨೩
മനുഷ്യരെല്ലാവരും തുല്യാവകാശങ്ങളോടും അന്തസ്സോടും സ്വാതന്ത്ര്യത്തോടുംകൂടി ജനിച്ചിട്ടുള്ളവരാണ്. ൧൨൩
සියලු මනුෂ්‍යයෝ නිදහස්ව උපත ලබා ඇත.
มนุษย์ทั้งหลายเกิดมามีอิสระและเสมอภาคกันในเกียรติศักดิ์และสิทธิ ๑๒๓๔
ມະນຸດທຸກຄົນເກີດມາມີສິດເສລີພາບ ໑໒໓
འགྲོ་བ་མིའི་རིགས་རྒྱུད་ཡོངས་ལ་སྐྱེས་ཙམ་ཉིད་ནས་ཆེ་མཐོངས། ༡༢༣
လူတိုင်းသည် တူညီ လွတ်လပ်သော ဂုဏ်သိက္ခာဖြင့် မွေးဖွားလာသူများ ဖြစ်သည်။ ၁၂၃
មនុស្សទាំងអស់ កើតមកមានសេរីភាព និងសមភាព ១២៣
የሰው፡ልጅ፡ሁሉ፡ሲወለድ፡ነጻና፡በክብርና፡በመብትም፡እኩልነት፡ያለው፡ነው። ፩፪፫
ᏂᎦᏓ ᎠᏂᏴᏫ ᏂᎨᎫᏓᎸᎾ ᎠᎴ ᎤᏂᏠᏱ ᎤᎾᏕᎿ
ᐃᓄᓕᒫᑦ ᐊᓂᖅᑎᕆᔪᓕᒫᑦ ᐃᓅᓚᐅᕐᒪᑕ
ᠬᠦᠮᠦᠨ ᠪᠦᠷ ᠲᠥᠷᠥᠵᠦ ᠮᠡᠨᠳᠡᠯᠡᠬᠦ
모든 인간은 태어날 때부터 자유로우며 그 존엄과 권리에 있어 동등하다. ㄱㄴㄷ ㅏㅑ
すべての人間は、生まれながらにして自由であり、かつ、尊厳と権利とについて平等である。ｶﾀｶﾅ１２３
いろはにほへと ちりぬるを わかよたれそ つねならむ がぎぐげご
人人生而自由，在尊严和权利上一律平等。他们赋有理性和良心，并应以兄弟关系的精神相对待。
人人生而自由，在尊嚴和權利上一律平等。「你好」、《書》〇一二三四五六七八九十百千萬
ꀋꂰꊿꀕꂱꂿ ꉬꉘꑌꉠ
ᚠᛇᚻ᛫ᛒᛦᚦ᛫ᚠᚱᚩᚠᚢᚱ ᚁᚂᚃᚄᚅ
𐌼𐌰𐌲 𐌲𐌻𐌴𐍃 𐌹̈𐍄𐌰𐌽 𐐔𐐇𐐝𐐀𐐡𐐇𐐓 𝔘𝔫𝔦𝔠𝔬𝔡𝔢 𝟘𝟙𝟚 𝒜𝒷𝒸 𝕬𝖇𝖈
⠠⠞⠓⠑ ⠟⠥⠊⠉⠅ ⠃⠗⠕⠺⠝ Ⅷ ⅷ ½ ¾ ² ³ ① ⑳ ㊿ ㈱ ﷺ ﬁ ﬀ Ǆ ŉ ſ K Å
""".strip().split("\n")

CODE = r"""
def f(x: int) -> str:  # comment
    return f"{x!r:>10}" if x >= 0x1F else 'a\tb\n'
for (size_t i = 0; i < n; ++i) { sum += a[i] * b[i]; }
#include <vector>	// tab before
template <typename T, typename = std::enable_if_t<std::is_integral_v<T>>> T&& f(T&&...);
SELECT a.id, COUNT(*) FROM t AS a LEFT JOIN u ON a.id=u.t_id WHERE a.x<>'it''s' GROUP BY 1;
<div class="a b" id='c'>&nbsp;&amp;&#x1F600;</div><!-- note -->
{"key": [1, 2.5e-10, -3E+7, null, true], "\u00e9": "\\n"}
git commit -m "fix: don't crash" && git push --force-with-lease origin HEAD:refs/heads/x
https://example.com/a/b?c=d&e=%20f#g  mailto:user.name+tag@example.co.uk
x = lambda *a, **k: (yield from a) or k.get("__init__", ~0 ^ 1 << 3)
fn main() { let s: &'static str = "x"; println!("{:?}", s.chars().rev().collect::<String>()); }
if [[ $# -gt 0 && "${1:-}" == "--help" ]]; then echo "$@" >&2; fi
$$\int_{-\infty}^{\infty} e^{-x^2}\,dx = \sqrt{\pi}$$ \begin{align*} a &= b \\ \end{align*}
        deeply    indented		tabs    and  spaces   at the end   
AB12-CD34_ef56.7890,12345678901234567890 1,000,000.00 1e10 0b1010 3.14159265358979 192.168.0.1 v1.2.3-rc.4
@@ -1,7 +1,9 @@ --- a/file +++ b/file ======= <<<<<<< HEAD >>>>>>> x
CamelCaseIdentifier snake_case_identifier SCREAMING_CASE kebab-case-name $var %s %d @decorator #tag
""".strip("\n").split("\n")

EMOJI = ["😀", "👍🏽", "👩‍👩‍👧‍👦", "🏳️‍🌈", "🇩🇪", "🇯🇵🇫🇷", "1️⃣", "❤️", "❤", "🧑🏿‍🚀", "☃", "🫠", "👁️‍🗨️", "©️", "🤷‍♀️", "⌚", "🏴󠁧󠁢󠁥󠁮󠁧󠁿", "✅", "➡️", "🀄"]
SPACES = [" ", "  ", "   ", "\t", "\t\t", "\u00a0", "\u3000", "\u2003", "\u2009", "\u200a", "\u202f", "\u205f",
          "\u1680", "\u2028", "\u2029", "\u0085", "\r", "\r\r", "\x0b", "\x0c", " \t ", "\u200b", "\u200d", "\ufeff",
          "\u2060", "\u00ad", "\u180e", " \u00a0", "\u00a0 ", "\r ", " \r"]
MARKS = ["e\u0301", "o\u0308\u0304", "a\u0323\u0302", "n\u0303", "\u0301", "\u0308x", "q\u0307\u0323", "q\u0323\u0307",
         "\u1100\u1161\u11a8", "\uac00\u11a8", "Z\u0351\u036b\u0343\u032a\u0302\u0346", "\u0915\u094d\u0937",
         "\u0958", "\u212b", "\u1e9b\u0323", "\u2126", "\ufb1d", "\u0344", "\U0001d15e", "\u3099", "か\u3099"]
SPECIAL = ["<|im_start|>", "<|im_end|>", "<|endoftext|>", "<s>", "</s>", "<bos>", "<eos>", "<start_of_turn>",
           "<end_of_turn>", "[CLS]", "[SEP]", "[MASK]", "[PAD]", "[UNK]", "<unk>", "<pad>", "<|eot_id|>", "<0x0A>",
           "<|im_start|", "<filename>", "<repo_name>", "▁", "▁▁the", "##ing", "Ġthe", "<|im_end|><|im_end|>",
           "<jupyter_code>", "<unused5>", "<mask>", "[multimodal]", "[cls]", "<h1>", "</table>", "<td>", "\u2581"]
QUOTES = ["'s", "'S", "'t", "'T", "'re", "'RE", "'rE", "'ve", "'ll", "'LL", "'lL", "'m", "'M", "'d", "'D", "'\u017f",
          "'\u017fx", "\u2019s", "''", "'", "'sx", "'x", "'v", "'l", "'r"]
DIGITS = ["0", "7", "42", "123", "1234", "12345", "1234567", "٣٤٥٦", "१२३४५", "１２３４", "๑๒๓", "Ⅻ", "½", "²", "①②③④", "𝟙𝟚𝟛𝟜",
          "一二", "0x1F", "3.14", "1,234"]
PUNCTUATION = list("!\"#$%&()*+,-./:;<=>?@[\\]^_`{|}~") + ["…", "—", "–", "“", "”", "«", "»", "。", "、", "！", "？",
                                                             "·", "¿", "¡", "§", "€", "£", "±", "×", "÷", "→", "∑", "",
                                                             "...", "!!!", "--", "==", "://", "/*", "*/", "$$"]


def assigned_runs():
    """Assigned code points of Unicode 14 or older, without surrogates, private use and LF, in runs of 16."""
    run = []
    for code_point in range(0x110000):
        if unicodedata.category(chr(code_point)) in ("Cn", "Cs", "Co") or code_point == 10:
            continue
        if not run or (code_point >> 6 == ord(run[0]) >> 6 and len(run) < 16):
            run.append(chr(code_point))
        else:
            yield run
            run = [chr(code_point)]
    yield run


def mixed(rng, words):
    kinds = [words, words, words, EMOJI, SPACES, SPACES, MARKS, SPECIAL, QUOTES, DIGITS, PUNCTUATION, PUNCTUATION]
    out = []
    for _ in range(rng.randint(2, 14)):
        out.append(rng.choice(rng.choice(kinds)))
        if rng.random() < 0.5:
            out.append(rng.choice(SPACES[:3]) if rng.random() < 0.8 else rng.choice(SPACES))
    return "".join(out)


def noise(rng):
    """Short random strings over a small alphabet: places where rules meet."""
    alphabet = rng.choice(["a '\tsS1\r.", " \t\r\u00a0x!", "'sStTrReEvVmMlLdD ", "12a, \u0663\u00bd", "\u0301a \u00e9e\u0308\u3000,",
                           "\u200da\U0001f469 \ufe0f", "aA. -_\u4e00\u3042\uac00", "<|im_start>\u2581 "])
    return "".join(rng.choice(alphabet) for _ in range(rng.randint(1, 24)))


def lines():
    rng = random.Random(20260101)
    words = [word for sentence in SENTENCES + CODE for word in sentence.split(" ") if word]
    out = ["", " ", "  ", "\t", "\r", "\u00a0", "\u3000", "\0", "a\0b", "\0\0\0", "\ufeff", "\ufffd", "\U0010ffff", "a", "A", "0"]
    out += SENTENCES + CODE + EMOJI + MARKS + SPECIAL + QUOTES + DIGITS
    out += ["x" + s + "y" for s in SPACES] + ["  " + s for s in SPACES] + [s + "\r" for s in SPACES] + ["1" + s for s in SPACES]
    out += ["I" + q for q in QUOTES] + ["we" + q + " go" for q in QUOTES]
    out += ["a" + chr(c) + "b" for c in list(range(10)) + list(range(11, 32)) + list(range(127, 160))]
    for unit in ["a", " ", "ab", "=", "-", "1", "\t", "\r", "é", "中", "😀", "\u0301", "ha", "0 ", " a", ". ", "\u00a0", "'s", "__", "かな", "<s>"]:
        out += [unit * n for n in (2, 3, 5, 16, 33, 100)]
    out += [" ".join(s) for s in SENTENCES[::4]] + [s.upper() for s in SENTENCES[:20]] + [s.lower() for s in SENTENCES[:6]]
    out += [unicodedata.normalize("NFD", s) for s in SENTENCES] + [unicodedata.normalize("NFKC", s) for s in SENTENCES[-12:]]
    out += [s.replace(" ", "\u3000") for s in SENTENCES[:10]] + [s.replace(" ", "") for s in SENTENCES]
    runs = list(assigned_runs())
    for run in rng.sample(runs, 420) + runs[:30]:
        out.append(rng.choice(["", " ", "a"]).join(run))
    out += [mixed(rng, words) for _ in range(900)] + [noise(rng) for _ in range(400)]
    assert not any("\n" in line for line in out)
    return out
