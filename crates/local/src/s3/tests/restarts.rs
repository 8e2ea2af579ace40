//! What was answered stands after a sudden death; what was not leaves nothing.

use axum::http::StatusCode;

use super::{Folder, Machine};

/// Copies the state as a death at this moment would leave it: nothing is flushed or closed for it.
fn die(folder: &Folder) -> Folder {
    let after = Folder::new();
    for file in ["state.db", "state.db-wal"] {
        std::fs::copy(folder.0.path().join(file), after.0.path().join(file)).unwrap();
    }
    for blob in folder.blobs() {
        let copy = after.0.path().join(blob.strip_prefix(folder.0.path()).unwrap());
        std::fs::create_dir_all(copy.parent().unwrap()).unwrap();
        std::fs::copy(blob, copy).unwrap();
    }
    after
}

#[tokio::test]
async fn an_answered_put_survives_a_sudden_death_with_its_notification() {
    let folder = Folder::new();
    let machine = Machine::start(&folder);
    machine.put("key", b"body").await;
    let upload = machine.send("POST", "/whole?uploads", &[], b"").await.elements("UploadId");
    let part = format!("/whole?partNumber=1&uploadId={}", upload[0]);
    machine.send("PUT", &part, &[], b"part").await.expect(StatusCode::OK);

    let after = die(&folder);
    let machine = Machine::start(&after);
    assert_eq!(machine.get("key").await.body, "body");
    assert_eq!(machine.queued().len(), 1);
    let parts = format!("/whole?uploadId={}", upload[0]);
    let parts = machine.send("GET", &parts, &[], b"").await;
    assert_eq!(parts.elements("Size"), ["4"]);
    assert_eq!(after.blobs().len(), 2);
}

#[tokio::test]
async fn bytes_that_no_object_names_are_gone_after_a_restart() {
    let folder = Folder::new();
    let machine = Machine::start(&folder);
    machine.put("key", b"body").await;
    let blob = folder.blobs().remove(0);
    let orphan = blob.with_file_name(uuid::Uuid::now_v7().simple().to_string());
    std::fs::write(&orphan, "half an object").unwrap();
    let foreign = blob.with_file_name("notes.txt");
    std::fs::write(&foreign, "not ours").unwrap();
    drop(machine);

    let machine = Machine::start(&folder);
    assert!(!orphan.exists());
    assert!(foreign.exists());
    assert_eq!(machine.get("key").await.body, "body");
}
