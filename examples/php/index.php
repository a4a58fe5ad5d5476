<?php
$database = new PDO('sqlite:/var/lib/guestbook/guestbook.sqlite');
$database->setAttribute(PDO::ATTR_ERRMODE, PDO::ERRMODE_EXCEPTION);
$database->exec('CREATE TABLE IF NOT EXISTS entries (name TEXT, text TEXT)');
if ($_SERVER['REQUEST_METHOD'] === 'POST') {
    $insert = $database->prepare('INSERT INTO entries VALUES (?, ?)');
    $insert->execute([$_POST['name'] ?? '', $_POST['text'] ?? '']);
    // A path from the root of the host: the proxy adds the prefix of the instance.
    header('Location: /index.php', true, 303);
    exit;
}
?>
<!doctype html>
<title>Guestbook</title>
<h1>Guestbook</h1>
<ul>
<?php foreach ($database->query('SELECT name, text FROM entries') as $entry): ?>
  <li><?= htmlspecialchars($entry['name']) ?>: <?= htmlspecialchars($entry['text']) ?></li>
<?php endforeach ?>
</ul>
<form method="post">
  <input name="name" aria-label="Name" required>
  <input name="text" aria-label="Text" required>
  <button>Sign</button>
</form>
